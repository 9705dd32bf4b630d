/** What a token is said to cost: counted by hand on small shapes, and of a device that is watched. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openModel } from '../../src/architecture.ts';
import { openBackend } from '../../src/backend.ts';
import { loadEngine } from '../../src/engine.ts';
import { bytesPerToken, makePlan, type TokenCost, tokenCost } from '../../src/plan.ts';
import { findSoftwareGpu } from '../fixture/software-gpu.ts';
import { openTinyModel, type TinyShapeName, tinyShapes } from '../fixture/tiny-model.ts';
import { traceDispatches } from '../fixture/trace-dispatches.ts';
import { watchDevice } from '../fixture/watch-device.ts';

const { skip } = await findSoftwareGpu();
const model = fileURLToPath(new URL('../../models/fable/fable-1m-q8_0.gguf', import.meta.url));

async function costOf(name: TinyShapeName): Promise<TokenCost> {
  const checkpoint = await openTinyModel(name);
  const backend = await openBackend('reference');
  try {
    const opened = await openModel(checkpoint);
    const graph = opened.build({ maxRows: 8, maxSelected: 1 });
    return tokenCost(makePlan(graph, backend.describe()), backend.describe());
  } finally {
    await backend.close();
    await checkpoint.close();
  }
}

test('operations are two for each value of the matrices, of experts for the chosen', async () => {
  const { layers, hidden, heads, keyValueHeads, feedForward, vocabulary } = tinyShapes.llama;
  const attention = 2 * hidden * hidden + 2 * hidden * keyValueHeads * (hidden / heads);
  const dense = await costOf('llama');
  assert.equal(dense.rowOperations, 2 * layers * (attention + 3 * hidden * feedForward));
  assert.equal(dense.logitOperations, 2 * hidden * vocabulary);
  const { used, count } = tinyShapes['llama, experts'].experts;
  const sparse = await costOf('llama, experts');
  const router = hidden * count;
  assert.equal(sparse.rowOperations, 2 * layers * (attention + router + used * 3 * hidden * feedForward));
  // Of what the other experts have nothing is read; `reference` keeps eight bytes a value.
  const experts = 8 * layers * 3 * hidden * feedForward;
  assert.equal(sparse.weightBytes - dense.weightBytes, (used - 1) * experts + 8 * layers * router);
});

test('cached rows are read as far as each layer sees', async () => {
  const { keyValueHeads, hidden, heads, layers } = tinyShapes.llama;
  const rowBytes = 2 * keyValueHeads * (hidden / heads) * layers;
  const whole = await costOf('llama');
  const windowed = await costOf('llama, sliding window');
  const growth = (cost: TokenCost, from: number, to: number): number =>
    bytesPerToken(cost, to) - bytesPerToken(cost, from);
  // Numbers of the reference's cache are float64.
  assert.equal(growth(whole, 3, 103), 100 * 8 * rowBytes);
  assert.equal(growth(windowed, 3, 103), 13 * 8 * rowBytes);
  assert.equal(growth(windowed, 16, 103), 0);
});

test('launches, weights and bytes are those that a device is asked for', { skip }, async () => {
  using trace = traceDispatches();
  const engine = await loadEngine(model, { backend: 'webgpu', chunkRows: 1, contextLength: 128 });
  try {
    const cost = engine.description.perToken;
    const session = await engine.session();
    const prompt = Array.from({ length: 3 }, (_, index) => 300 + index);
    await session.generate(prompt, { maxTokens: 1 }).result();
    const before = await engine.deviceWork();
    trace.dispatches.length = 0;
    using watch = watchDevice();
    await session.generate([...prompt, 7], { maxTokens: 1 }).result();
    const work = await engine.deviceWork();
    assert.ok(cost && work && before);
    assert.equal(trace.dispatches.length, cost.launches);
    assert.deepEqual(
      [work.dispatches, work.submits, work.bytesWritten].map(
        (count, index) => count - ([before.dispatches, before.submits, before.bytesWritten][index] ?? 0),
      ),
      [watch.dispatches, watch.submits, watch.bytesWritten],
    );
    // A table is bound whole of which the embedding reads a row.
    const readers = trace.dispatches.filter(({ kernel }) => !kernel.startsWith('embed'));
    const weights = new Map(
      readers
        .flatMap(({ bound }) => bound)
        .filter(({ buffer }) => buffer.label === 'weights')
        .map(({ buffer, byteLength }) => [buffer, byteLength]),
    );
    assert.equal(
      [...weights.values()].reduce((sum, byteLength) => sum + byteLength, 0),
      cost.weightBytes,
    );
  } finally {
    await engine.close();
  }
});
