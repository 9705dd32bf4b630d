/** The trained model of this project in every format, against what llama.cpp said of the same files. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openCheckpoint } from '../../src/checkpoint.ts';
import { assertSameChoices, meanDivergence, worstDifference } from '../fixture/compare-logits.ts';
import { writeFloatTwin } from '../fixture/float-twin.ts';
import { feedChain, type Logits, openRunner } from '../fixture/model-runner.ts';
import { temporaryFolder } from '../fixture/temporary-folder.ts';
import { openOracle } from '../oracle/llama.ts';

const folder = fileURLToPath(new URL('../../../shared/models/fable/', import.meta.url));
const skip = existsSync(folder) ? false : '../shared/models/fable is absent';

/** Formats whose activations wasm keeps as floats. */
const floatFormats = new Set(['f32', 'f16', 'bf16']);

interface Recorded {
  readonly model: string;
  readonly prompt: string;
  readonly promptIds: number[];
  readonly ids: number[];
  /** Of the two largest logits at each id. */
  readonly gaps: number[];
}

function recordings(path = `${folder}reference.json`): Recorded[] {
  return JSON.parse(readFileSync(path, 'utf8')).greedy;
}

/** Logits that chose each of the recorded ids, the ids before it given. */
async function teacherForced(
  path: string,
  backend: 'reference' | 'wasm',
  { promptIds, ids }: Recorded,
): Promise<Logits[]> {
  await using runner = await openRunner(path, { backend });
  return await feedChain(
    runner,
    runner.cache.openSequence(),
    [...promptIds, ...ids.slice(0, -1)],
    64,
    ids.length,
  );
}

test('the model in the repository chooses as llama.cpp does', async () => {
  const inRepository = fileURLToPath(new URL('../../models/fable/', import.meta.url));
  const path = fileURLToPath(new URL('../fixture/recorded/fable-greedy.json', import.meta.url));
  for (const recorded of recordings(path)) {
    for (const backend of ['reference', 'wasm'] as const) {
      const rows = await teacherForced(inRepository + recorded.model, backend, recorded);
      assertSameChoices(rows, recorded, 0.2, backend);
    }
  }
});

test('choices and distributions in every recorded format', { skip }, async (t) => {
  for (const recorded of recordings()) {
    await t.test(`${recorded.model}: ${recorded.prompt}`, async (t) => {
      const wasm = await teacherForced(folder + recorded.model, 'wasm', recorded);
      const reference = await teacherForced(folder + recorded.model, 'reference', recorded);
      // llama.cpp rounds activations to 8 bits where weights are quantized, and to halves for f16.
      const leastGap = recorded.model.endsWith('-f32.gguf') ? 2e-3 : 0.2;
      assertSameChoices(reference, recorded, leastGap, 'reference');
      assertSameChoices(wasm, recorded, leastGap, 'wasm');
      const divergence = meanDivergence(wasm, reference);
      t.diagnostic(`mean divergence of wasm from the reference ${divergence.toExponential(2)}`);
      assert.ok(divergence < 1e-3, `mean divergence ${divergence}`);
    });
  }
});

/** llama.cpp rounds activations where weights are not f32; with the same weights as f32 it has no reason to. */
test('log-probabilities are those of llama.cpp with the same weights in f32', { skip }, async (t) => {
  const opened = await openOracle({ cache: 'f32' });
  if ('skip' in opened) return t.skip(opened.skip);
  await using oracle = opened;
  await using scratch = await temporaryFolder();
  const [recorded] = recordings();
  assert.ok(recorded);
  const ids = [...recorded.promptIds, ...recorded.ids];
  for (const format of ['f32', 'f16', 'bf16', 'q8_0', 'q4_0', 'q4_k_m', 'q6_k', 'q2_k']) {
    await t.test(format, async (t) => {
      const path = `${folder}fable-4m-${format}.gguf`;
      const twin = scratch.path(`${format}.gguf`);
      const checkpoint = await openCheckpoint(path);
      await writeFloatTwin(checkpoint, twin);
      await checkpoint.close();
      const theirs = await oracle.logits(twin, ids);
      for (const backend of ['reference', 'wasm'] as const) {
        if (backend === 'wasm' && !floatFormats.has(format)) continue;
        await using runner = await openRunner(path, { backend });
        const worst = worstDifference(await feedChain(runner, runner.cache.openSequence(), ids), theirs);
        t.diagnostic(`${backend}: worst difference ${worst.toExponential(2)}`);
        assert.ok(worst < 1e-3, `${backend}: worst difference ${worst}`);
      }
    });
  }
});
