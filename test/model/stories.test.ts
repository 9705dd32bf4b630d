/** Trained models of 260 thousand parameters, against greedy ids of an independent float64 forward pass. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { mostLikely } from '../fixture/compare-logits.ts';
import { feedChain, openRunner } from '../fixture/model-runner.ts';

const models = fileURLToPath(new URL('../../../shared/models/', import.meta.url));

interface Recorded {
  /** Prompt and continuation. */
  readonly ids: number[];
  readonly prompt_ids?: number[];
}

for (const name of ['stories260k', 'stories280k-tok512']) {
  const path = `${models}${name}/${name}-f32.gguf`;
  const skip = existsSync(path) ? false : `../shared/models/${name} is absent`;
  for (const backend of ['reference', 'wasm'] as const) {
    test(`${name} on ${backend} continues as recorded`, { skip }, async () => {
      const recorded = JSON.parse(readFileSync(`${models}${name}/reference-greedy.json`, 'utf8'));
      await using runner = await openRunner(path, { backend, threads: 1 });
      for (const kind of ['from_bos', 'from_prompt'] as const) {
        const { ids, prompt_ids: promptIds = [1] }: Recorded = recorded[kind];
        assert.deepEqual(ids.slice(0, promptIds.length), promptIds);
        const sequence = runner.cache.openSequence();
        const said = [...promptIds];
        let next = promptIds;
        while (said.length < ids.length) {
          const [logits] = await feedChain(runner, sequence, next, next.length, 1);
          assert.ok(logits);
          next = [mostLikely(logits)];
          said.push(...next);
        }
        assert.deepEqual(said, ids, kind);
      }
    });
  }
}

for (const backend of ['reference', 'wasm'] as const) {
  const name = 'stories260k';
  const path = `${models}${name}/${name}-f32.gguf`;
  const skip = existsSync(path) ? false : `../shared/models/${name} is absent`;
  test(`${name} on ${backend} starts with the recorded logits`, { skip }, async () => {
    const recorded = JSON.parse(readFileSync(`${models}${name}/reference-greedy.json`, 'utf8'));
    const expected: number[] = recorded.first_step_logits_after_bos;
    await using runner = await openRunner(path, { backend, threads: 1 });
    const [logits] = await feedChain(runner, runner.cache.openSequence(), [1]);
    assert.ok(logits);
    assert.equal(logits.length, expected.length);
    for (const [id, value] of expected.entries()) {
      assert.ok(Math.abs((logits[id] ?? 0) - value) < 1e-4, `logit ${id}: ${logits[id]}, recorded ${value}`);
    }
  });
}
