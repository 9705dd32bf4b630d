import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MachineRates } from '../../src/backend.ts';
import type { TokenCost } from '../../src/plan.ts';
import { deviceUse } from './device-use.ts';
import type { SpeedResult } from './model-speed.ts';

const cost: TokenCost = {
  ...{ launches: 7, launchesPerLayer: 6, weightBytes: 1000, rowOperations: 3000, logitOperations: 500 },
  cacheReads: [{ rowBytes: 10 }, { rowBytes: 1, window: 4 }],
};
const rates: MachineRates = {
  ...{ machine: 'a device', copyBytesPerSecond: 1e6, operationsPerSecond: 1e7, launchUs: 1 },
  product: { type: 'f32', operationsPerSecond: 5e6 },
};
const speed = (kind: SpeedResult['kind'], depth: number, tokens: number, median: number): SpeedResult => ({
  ...{ kind, depth, tokens, median, least: median, most: median, runs: [median] },
  work: { submits: 1, dispatches: 8, bytesWritten: 0, bytesRead: 8 },
});

test('a token reads the weights, and of the cache what its layers see', () => {
  // Rows 3, 4 and 5, of which layers with a window see 3, 4 and 4.
  const { bytesPerToken, copyShare, dispatchUs } = deviceUse(speed('decode', 2, 3, 50), cost, rates);
  const bytes = 1000 + (10 * (3 + 4 + 5) + (3 + 4 + 4)) / 3;
  assert.equal(bytesPerToken, bytes);
  assert.equal(copyShare, (bytes * 50) / 1e6);
  assert.equal(dispatchUs, 1e6 / (50 * 8));
});

test('a row of a prompt computes no logits', () => {
  const use = deviceUse(speed('prompt', 0, 16, 400), cost, rates);
  assert.deepEqual(use, {
    ...{ operationsPerToken: 3000, arithmeticShare: 0.12, productShare: 0.24 },
    dispatchUs: 1e6 / (400 * 8),
  });
});
