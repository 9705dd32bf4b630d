import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkSeed, freshSeed, type PhiloxWords, philox, uniformAt } from './random.ts';

test('known blocks of Philox 4x32-10', () => {
  // The published test vectors of the generator's authors (Random123, kat_vectors).
  const ones = 0xffffffff;
  const vectors: [PhiloxWords, number, number, PhiloxWords][] = [
    [[0, 0, 0, 0], 0, 0, [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]],
    [[ones, ones, ones, ones], ones, ones, [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      0xa4093822,
      0x299f31d0,
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ];
  for (const [counter, keyLow, keyHigh, expected] of vectors) {
    assert.deepEqual(philox(counter, keyLow, keyHigh), expected);
  }
});

test('numbers depend on seed, position and stream, in all their bits', () => {
  const seen = new Set<number>();
  const places = [0, 1, 2, 2 ** 32, 2 ** 32 + 1, 2 ** 52, Number.MAX_SAFE_INTEGER];
  for (const seed of places) {
    for (const position of places) {
      for (const stream of [0, 1]) seen.add(uniformAt(seed, position, stream));
    }
  }
  assert.equal(seen.size, places.length * places.length * 2);
});

test('numbers are even over [0, 1) and unrelated from one position to the next', () => {
  const cells = 64;
  const draws = 64_000;
  const counts = new Float64Array(cells * cells);
  let before = uniformAt(7, 0);
  for (let position = 1; position <= draws; position++) {
    const number = uniformAt(7, position);
    assert.ok(number >= 0 && number < 1);
    const cell = Math.floor(before * cells) * cells + Math.floor(number * cells);
    counts[cell] = (counts[cell] ?? 0) + 1;
    before = number;
  }
  const expected = draws / counts.length;
  const chiSquare = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  // Mean 4095, standard deviation 90.5; five deviations.
  assert.ok(Math.abs(chiSquare - 4095) < 453, `chi-square ${chiSquare}`);
});

test('seeds', () => {
  assert.equal(checkSeed(Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER);
  for (const seed of [-1, 0.5, Number.NaN, 2 ** 53])
    assert.throws(() => checkSeed(seed), { code: 'bad-argument' });
  for (let count = 0; count < 100; count++) checkSeed(freshSeed());
});
