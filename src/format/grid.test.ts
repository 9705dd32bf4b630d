import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  evenSigns,
  type Grid,
  iq1Grid,
  iq2sGrid,
  iq2xsGrid,
  iq2xxsGrid,
  iq3sGrid,
  iq3xxsGrid,
} from './grid.ts';

/** The sum of all levels, each times its place, counted from 1: one wrong row shows. */
function weightedSum({ levels, codes }: Grid): number {
  return codes.reduce((sum, code, index) => sum + (levels[code] ?? Number.NaN) * (index + 1), 0);
}

test('grids have the rows of llama.cpp', () => {
  const facts: readonly (readonly [Grid, rows: number, sum: number])[] = [
    [iq2xxsGrid, 256, 42_100_955],
    [iq2xsGrid, 512, 182_044_374],
    [iq2sGrid, 1024, 720_245_922],
    [iq3xxsGrid, 256, 14_912_868],
    [iq3sGrid, 512, 14_404_362],
    [iq1Grid, 2048, 10_703_429],
  ];
  for (const [grid, rows, sum] of facts) {
    assert.equal(grid.codes.length, rows * grid.width);
    assert.equal(weightedSum(grid), sum);
  }
});

test('the eighth sign makes their number even', () => {
  assert.deepEqual([0, 1, 2, 3, 64, 127].map(evenSigns), [0, 0x81, 0x82, 3, 0xc0, 0xff]);
});
