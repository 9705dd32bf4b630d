/** With a budget of time the GPU is given little at once, and nothing for a while in between. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadEngine } from '../../src/engine.ts';
import { findSoftwareGpu } from '../fixture/software-gpu.ts';
import { watchSubmits } from '../fixture/watch-device.ts';

const { skip } = await findSoftwareGpu();
const model = fileURLToPath(new URL('../../models/fable/fable-1m-q8_0.gguf', import.meta.url));
const prompt = Array.from({ length: 192 }, (_, index) => 300 + ((index * 37) % 900));

/** When the pieces of a prompt were with the device: without those of the first, from which their time is learned. */
async function piecesOf(priority: 'interactive' | 'throughput') {
  const engine = await loadEngine(model, { backend: 'webgpu', priority, contextLength: 256 });
  try {
    const session = await engine.session();
    await session.generate(prompt, { maxTokens: 1 }).result();
    await session.truncate(0);
    using watch = watchSubmits();
    await session.generate(prompt, { maxTokens: 1 }).result();
    await watch.done();
    return watch.submits;
  } finally {
    await engine.close();
  }
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

test('interactive: a prompt is many short pieces with gaps between them', { skip }, async (t) => {
  const whole = await piecesOf('throughput');
  const pieces = await piecesOf('interactive');
  const times = pieces.map(({ beganMs, endedMs }) => endedMs - beganMs);
  const rests = pieces.slice(1).map(({ beganMs }, index) => beganMs - (pieces[index]?.endedMs ?? 0));
  t.diagnostic(
    `${whole.length} pieces without a budget; with it ${pieces.length} of ${median(times).toFixed(1)} ms in the median, ${Math.max(...times).toFixed(1)} ms at most, gaps of ${Math.max(...rests).toFixed(1)} ms at most`,
  );
  assert.ok(pieces.length > 2 * whole.length, `${pieces.length} pieces instead of ${whole.length}`);
  // Of a budget of 16 ms; a busy machine may take several times as long.
  assert.ok(median(times) < 100, `${median(times)} ms`);
  // After 16 ms of work 4 in which the device has nothing.
  assert.ok(rests.filter((rest) => rest >= 3).length >= 2, `${rests}`);
});
