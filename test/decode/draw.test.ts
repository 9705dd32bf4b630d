/** Tokens that a machine draws are those of the host's sampler on the same logits, or it says that it is not sure. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { openWebgpuBackend, type WebgpuBackend } from '../../src/backend/webgpu/backend.ts';
import { uniformAt } from '../../src/base/random.ts';
import type { SamplingOptions } from '../../src/decoder.ts';
import { findSoftwareGpu } from '../fixture/software-gpu.ts';
import { hostDraw, normalLogits, openDrawMachine } from './draw-machine.ts';

const { skip } = await findSoftwareGpu();
let opened: Promise<WebgpuBackend> | undefined;
const machine = () => {
  opened ??= openWebgpuBackend({}, { parallel: false });
  return opened;
};
after(async () => (await opened)?.close());

const history = Array.from({ length: 150 }, (_, index) => Math.floor(uniformAt(99, index) ** 2 * 300));

const settings: SamplingOptions[] = [
  {},
  { temperature: 1 },
  { temperature: 0.3 },
  { temperature: 2.5, topK: 1 },
  { temperature: 0.8, topK: 40 },
  { temperature: 0.8, topK: 299 },
  { temperature: 1, topP: 0.9 },
  { temperature: 1.5, topP: 0.5 },
  { temperature: 1, topP: 0 },
  { temperature: 1, minP: 0.05 },
  { temperature: 1, minP: 1 },
  { temperature: 0.7, topK: 40, topP: 0.9, minP: 0.02 },
  { repetitionPenalty: 1.5 },
  { temperature: 1, repetitionPenalty: 1.3, penaltyWindow: 20 },
  { temperature: 1, repetitionPenalty: 0.7, frequencyPenalty: 0.4, presencePenalty: -0.5, penaltyWindow: -1 },
  { temperature: 1, repetitionPenalty: 1.2, frequencyPenalty: 0.4, penaltyWindow: 1 },
  {
    temperature: 0.9,
    topK: 20,
    logitBias: new Map([
      [3, 4],
      [7, Number.NEGATIVE_INFINITY],
    ]),
  },
];

/** One stripe, and three; the fewer draws of the larger, since a program takes its time over them. */
const rows = [
  { size: 300, spreads: [0.2, 2, 12], unread: [0, 3] },
  { size: 5000, spreads: [2], unread: [2] },
];

for (const { size, spreads, unread } of rows) {
  test(`draws what the host's sampler does, ${size} ids`, { skip }, async () => {
    const draws = openDrawMachine(await machine(), size);
    let [unsure, count] = [0, 0];
    try {
      for (const [index, options] of settings.entries()) {
        for (const spread of spreads) {
          for (const latest of unread) {
            const logits = normalLogits(index + 1, size, spread);
            const text = history.slice(0, 100 + 7 * index + latest);
            const seeded = { ...options, seed: 5 };
            const { id, isSure } = await draws.draw(logits.slice(), seeded, text, latest);
            count++;
            if (!isSure) unsure++;
            else
              assert.equal(
                id,
                hostDraw(logits, seeded, text),
                `${JSON.stringify(options)} ${spread} ${latest}`,
              );
          }
        }
      }
    } finally {
      draws.close();
    }
    assert.ok(unsure < 0.1 * count, `${unsure} of ${count}`);
  });
}

test('is not sure of what the host would refuse, and of ties at a bound', { skip }, async () => {
  const size = 300;
  const draws = openDrawMachine(await machine(), size);
  const isSure = async (change: (logits: Float32Array) => void, options: SamplingOptions) => {
    const logits = normalLogits(7, size, 2);
    change(logits);
    return (await draws.draw(logits, { ...options, seed: 1 }, history, 0)).isSure;
  };
  try {
    for (const options of [{}, { temperature: 1 }, { temperature: 1, topK: 5 }, { presencePenalty: 1 }]) {
      assert.equal(await isSure(() => {}, options), true);
      assert.equal(await isSure((logits) => logits.set([Number.NaN], 299), options), false);
      assert.equal(await isSure((logits) => logits.set([Number.POSITIVE_INFINITY], 0), options), false);
      assert.equal(await isSure((logits) => logits.fill(Number.NEGATIVE_INFINITY), options), false);
      assert.equal(await isSure((logits) => logits.set([600], 3), { ...options, temperature: 1 }), false);
    }
    assert.equal(await isSure((logits) => logits.fill(1), {}), true);
    assert.equal(await isSure((logits) => logits.fill(1), { temperature: 1, topK: 5 }), false);
    assert.equal(await isSure((logits) => logits.fill(1), { temperature: 1, topP: 0.5 }), false);
    // Two logits nearer to each other than what a penalty may round.
    const near = (logits: Float32Array) => logits.set([9, 9 + 2 ** -20], 5);
    assert.equal(await isSure(near, { presencePenalty: 1e-9 }), false);
  } finally {
    draws.close();
  }
});
