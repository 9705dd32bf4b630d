import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PendingRows } from './pending-rows.ts';

const seen = (rows: PendingRows, row: number): number[] => {
  const bits: number[] = Array.from({ length: rows.leading(row) }, (_, index) => index);
  for (let bit = 0; bit < 64; bit++) {
    const word = bit < 32 ? rows.maskLow(row) : rows.maskHigh(row);
    if ((word >>> (bit & 31)) & 1) bits.push(bit);
  }
  return bits;
};

test('a chain has no masks, whatever its length', () => {
  const rows = new PendingRows();
  for (let row = 0; row < 200; row++) rows.add(row - 1);
  assert.ok(rows.isChain);
  for (const row of [0, 31, 32, 63, 64, 199]) {
    assert.equal(rows.leading(row), row + 1);
    assert.deepEqual([rows.maskLow(row), rows.maskHigh(row)], [0, 0]);
  }
  assert.ok(rows.admits(199));
  assert.equal(rows.admits(198), false);
  rows.truncate(64);
  assert.equal(rows.admits(-1), false);
  rows.truncate(63);
  assert.ok(rows.admits(-1));
});

test('a row of a tree sees its ancestors and itself: a gapless beginning, then bits', () => {
  const rows = new PendingRows();
  for (let row = 0; row < 32; row++) rows.add(row - 1);
  rows.add(-1);
  rows.add(31);
  rows.add(33);
  rows.add(32);
  assert.deepEqual(seen(rows, 32), [32]);
  assert.equal(rows.leading(33), 32);
  assert.deepEqual(seen(rows, 33), [...Array(32).keys(), 33]);
  assert.deepEqual(seen(rows, 34), [...Array(32).keys(), 33, 34]);
  assert.deepEqual(seen(rows, 35), [32, 35]);
  assert.ok(rows.isChild(33, 31) && rows.isChild(32, -1) && rows.isChild(0, -1));
  assert.equal(rows.isChild(33, 32), false);
  assert.equal(rows.isChild(36, 35), false);
});

test('every mask of random trees lists exactly the ancestors, in order', () => {
  let state = 7;
  const random = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  for (let round = 0; round < 50; round++) {
    const rows = new PendingRows();
    const ancestors: number[][] = [];
    for (let row = 0; row < 64; row++) {
      const parent = round % 2 === 0 ? random(row + 1) - 1 : Math.max(-1, row - 1 - random(3));
      assert.ok(rows.admits(parent));
      rows.add(parent);
      ancestors.push([...(ancestors[parent] ?? []), row]);
    }
    for (const [row, expected] of ancestors.entries()) {
      const actual = seen(rows, row);
      assert.deepEqual(actual, expected);
    }
  }
});
