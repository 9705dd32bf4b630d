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

for (const size of [300, 5000]) {
  test(`draws what the host's sampler does, ${size} ids`, { skip }, async () => {
    const draws = openDrawMachine(await machine(), size);
    let [unsure, count] = [0, 0];
    try {
      for (const [index, options] of settings.entries()) {
        for (const spread of [0.2, 2, 12]) {
          for (const unread of [0, 3]) {
            const logits = normalLogits(index + 1, size, spread);
            const text = history.slice(0, 100 + 7 * index + unread);
            const seeded = { ...options, seed: 5 };
            const { id, isSure } = await draws.draw(logits.slice(), seeded, text, unread);
            count++;
            if (!isSure) unsure++;
            else
              assert.equal(
                id,
                hostDraw(logits, seeded, text),
                `${JSON.stringify(options)} ${spread} ${unread}`,
              );
          }
        }
      }
    } finally {
      draws.close();
    }
    console.log(unsure, count);
    assert.ok(unsure < 0.1 * count, `${unsure} of ${count}`);
  });
}
