import assert from 'node:assert/strict';
import { test } from 'node:test';
import { minimumCodeAt, packSixBitScales, scaleCodeAt } from './six-bit-scales.ts';

test('scales and minimums by hand', () => {
  const bytes = Uint8Array.of(0xc1, 0x02, 0x03, 0x3f, 0x45, 0x06, 0x07, 0x3e, 0x2a, 0x00, 0x00, 0x18);
  const indexes = [0, 1, 2, 3, 4, 5, 6, 7];
  assert.deepEqual(
    indexes.map((j) => scaleCodeAt(bytes, 0, j)),
    [1, 2, 3, 63, 0xa | 0x30, 0, 0, 8],
  );
  assert.deepEqual(
    indexes.map((j) => minimumCodeAt(bytes, 0, j)),
    [5, 6, 7, 62, 2 | 0x10, 0, 0, 1],
  );
});

test('packing is the reverse of unpacking', () => {
  for (let round = 0; round < 64; round++) {
    const scales = Uint8Array.from({ length: 8 }, (_, j) => (round * 7 + j * 29) & 63);
    const minimums = Uint8Array.from({ length: 8 }, (_, j) => (round * 11 + j * 37 + 5) & 63);
    const bytes = new Uint8Array(14);
    packSixBitScales(scales, minimums, bytes, 1);
    assert.deepEqual(
      scales.map((_, j) => scaleCodeAt(bytes, 1, j)),
      scales,
    );
    assert.deepEqual(
      minimums.map((_, j) => minimumCodeAt(bytes, 1, j)),
      minimums,
    );
    assert.deepEqual([bytes[0], bytes[13]], [0, 0]);
  }
});
