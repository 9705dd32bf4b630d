/** The models of the repository on the webgpu backend: the choices of wasm, what a step asks of the device, what stays held. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openModel } from '../../src/architecture.ts';
import { openBackend } from '../../src/backend.ts';
import { openCheckpoint } from '../../src/checkpoint.ts';
import { loadEngine } from '../../src/engine.ts';
import { openExecutor } from '../../src/executor.ts';
import { openKvCache } from '../../src/kv-cache.ts';
import { makePlan } from '../../src/plan.ts';
import { loadWeights, openBudget } from '../../src/weights.ts';
import { findSoftwareGpu } from '../fixture/software-gpu.ts';
import { watchDevice } from '../fixture/watch-device.ts';

const { skip } = await findSoftwareGpu();
const model = fileURLToPath(new URL('../../models/fable/fable-1m-q8_0.gguf', import.meta.url));
const recorded = JSON.parse(
  readFileSync(new URL('../fixture/recorded/fable-greedy.json', import.meta.url), 'utf8'),
) as { greedy: { model: string; promptIds: number[]; ids: number[] }[] };

/** Greedy ids after a prompt. */
async function greedyIds(path: string, backend: 'wasm' | 'webgpu', promptIds: number[], count: number) {
  const engine = await loadEngine(path, { backend, chunkRows: 64, contextLength: 256 });
  try {
    const session = await engine.session();
    return (await session.generate(promptIds, { maxTokens: count }).result()).tokens;
  } finally {
    await engine.close();
  }
}

test('greedy ids are those of wasm', { skip }, async () => {
  for (const { model: name, promptIds } of recorded.greedy) {
    const path = fileURLToPath(new URL(`../../models/fable/${name}`, import.meta.url));
    const [ours, theirs] = [
      await greedyIds(path, 'webgpu', promptIds, 24),
      await greedyIds(path, 'wasm', promptIds, 24),
    ];
    assert.deepEqual(ours, theirs, name);
  }
});

test('a step writes keys and values in place: only its block goes in, only its result is copied', {
  skip,
}, async () => {
  const engine = await loadEngine(model, { backend: 'webgpu', chunkRows: 64, contextLength: 256 });
  try {
    const session = await engine.session();
    const prompt = Array.from({ length: 40 }, (_, index) => 300 + index);
    await session.generate(prompt, { maxTokens: 1 }).result();
    using watch = watchDevice();
    await session.generate([...prompt, 7], { maxTokens: 1 }).result();
    const { copies, writes, dispatches, submits } = watch;
    assert.deepEqual(
      copies.map(({ target }) => target),
      ['results'],
    );
    assert.deepEqual([...new Set(writes)], ['step']);
    assert.equal(submits, 1);
    // Embedding, six a layer, selection, head, arg-max.
    assert.ok(dispatches <= 1 + 7 * engine.description.layerCount + 3, `${dispatches} dispatches`);
  } finally {
    await engine.close();
  }
});

test('twenty loads on one device leave no buffer behind', { skip }, async () => {
  const backend = await openBackend('webgpu');
  using watch = watchDevice();
  const checkpoint = await openCheckpoint(model);
  try {
    const opened = await openModel(checkpoint);
    const plan = makePlan(opened.build({ maxRows: 8, maxSelected: 1 }), backend.describe(), {
      cacheType: 'f16',
    });
    const budget = openBudget();
    for (let load = 0; load < 20; load++) {
      const weights = await loadWeights({ weights: plan.graph.weights, checkpoint, backend, budget });
      const cache = openKvCache({ backend, layout: plan.cache, contextLength: 128, budget });
      const executor = openExecutor({ backend, plan, weights, cache, budget });
      const sequence = cache.openSequence();
      if (load % 10 === 0) {
        const rows = [{ sequence, token: 5, position: 0, parent: -1 }];
        await executor.run({ rows, select: { kind: 'argmax', rows: [0] } });
      }
      await executor.close();
      cache.close();
      weights.close();
      assert.deepEqual(backend.memory(), { weightBytes: 0, regionBytes: 0 });
    }
    assert.equal(budget.reservedBytes, 0);
  } finally {
    await backend.close();
    await checkpoint.close();
  }
  assert.ok(watch.buffers.created > 400);
  assert.equal(watch.buffers.destroyed, watch.buffers.created);
});
