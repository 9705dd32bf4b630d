import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scaleYarn } from './rotary.ts';

const plain = Array.from({ length: 64 }, (_, pair) => 10_000 ** (-pair / 64));
const scaling = { base: 10_000, factor: 16, originalContextLength: 4096, betaFast: 32, betaSlow: 1 };

test('yarn keeps fast pairs, divides slow ones, and ramps between', () => {
  const { frequencies } = scaleYarn(plain, scaling);
  // Pairs whose turns over 4096 positions exceed 32, fall below 1: 128 ln(4096 / (2π turns)) / (2 ln 10000) = 20.9; 45.03.
  const ratios = frequencies.map((frequency, pair) => frequency / (plain[pair] ?? 0));
  for (let pair = 0; pair <= 20; pair++) assert.equal(ratios[pair], 1, `pair ${pair}`);
  for (let pair = 46; pair < 64; pair++) {
    assert.ok(Math.abs((ratios[pair] ?? 0) * 16 - 1) < 1e-12, `pair ${pair}`);
  }
  // Half-way along the ramp of 26 pairs: the mean of 1 and 1/16.
  assert.ok(Math.abs((ratios[33] ?? 0) - (1 + 1 / 16) / 2) < 1e-12);
});

test('yarn lengthens queries and keys by 0.1 ln(factor) + 1', () => {
  assert.equal(scaleYarn(plain, scaling).magnitude, 0.1 * Math.log(16) + 1);
  assert.equal(scaleYarn(plain, { ...scaling, factor: 1 }).magnitude, 1);
});

test('a ramp of no length is a step', () => {
  const { frequencies } = scaleYarn([1], { ...scaling, originalContextLength: 2, betaFast: 1 });
  assert.deepEqual(frequencies, [1]);
});
