import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  bfloatFromFloat,
  floatFromBfloat,
  floatFromHalf,
  halfFromFloat,
  readHalf,
  writeHalf,
} from './half.ts';

test('known halves', () => {
  const known: [number, number][] = [
    [0x0000, 0],
    [0x8000, -0],
    [0x0001, 2 ** -24],
    [0x03ff, 1023 * 2 ** -24],
    [0x0400, 2 ** -14],
    [0x3c00, 1],
    [0x3c01, 1 + 2 ** -10],
    [0xc000, -2],
    [0x7bff, 65504],
    [0x7c00, Number.POSITIVE_INFINITY],
    [0xfc00, Number.NEGATIVE_INFINITY],
    [0x3555, 0.333251953125],
  ];
  for (const [bits, value] of known) {
    assert.ok(Object.is(floatFromHalf(bits), value), `0x${bits.toString(16)}`);
    assert.equal(halfFromFloat(value), bits, `${value}`);
  }
  assert.ok(Number.isNaN(floatFromHalf(0x7c01)));
  assert.ok(Number.isNaN(floatFromHalf(0xfe00)));
  assert.equal(halfFromFloat(Number.NaN), 0x7e00);
});

test('halves round to nearest, ties to even, at every magnitude', () => {
  // Every finite half and its neighbour: the midpoint goes to the even one, a little off it to the nearer one.
  for (let bits = 0; bits < 0x7bff; bits++) {
    const [low, high] = [floatFromHalf(bits), floatFromHalf(bits + 1)];
    const middle = (low + high) / 2;
    const even = bits % 2 === 0 ? bits : bits + 1;
    const nudge = middle * 2 ** -50;
    if (
      halfFromFloat(low) !== bits ||
      halfFromFloat(-low) !== (bits | 0x8000) ||
      halfFromFloat(middle) !== even ||
      halfFromFloat(middle - nudge) !== bits ||
      halfFromFloat(middle + nudge) !== bits + 1
    ) {
      assert.fail(`half 0x${bits.toString(16)}`);
    }
  }
  assert.equal(halfFromFloat(65519.999), 0x7bff);
  assert.equal(halfFromFloat(65520), 0x7c00);
  assert.equal(halfFromFloat(-1e300), 0xfc00);
  assert.equal(halfFromFloat(2 ** -25), 0);
  assert.equal(halfFromFloat(-(2 ** -26)), 0x8000);
});

test('known bfloats', () => {
  const known: [number, number][] = [
    [0x0000, 0],
    [0x8000, -0],
    [0x0001, 2 ** -133],
    [0x007f, 127 * 2 ** -133],
    [0x0080, 2 ** -126],
    [0x3f80, 1],
    [0x3f81, 1 + 2 ** -7],
    [0xc049, -3.140625],
    [0x7f7f, (2 - 2 ** -7) * 2 ** 127],
    [0x7f80, Number.POSITIVE_INFINITY],
    [0xff80, Number.NEGATIVE_INFINITY],
  ];
  for (const [bits, value] of known) {
    assert.ok(Object.is(floatFromBfloat(bits), value), `0x${bits.toString(16)}`);
    assert.equal(bfloatFromFloat(value), bits, `${value}`);
  }
  assert.ok(Number.isNaN(floatFromBfloat(0x7f81)));
  assert.equal(bfloatFromFloat(Number.NaN), 0x7fc0);
});

test('bfloats are the upper half of float32 and round to nearest, ties to even', () => {
  const word = new Uint32Array(1);
  const single = new Float32Array(word.buffer);
  for (let bits = 0; bits < 0x7f7f; bits++) {
    word[0] = bits << 16;
    const low = single[0];
    const middle = (floatFromBfloat(bits) + floatFromBfloat(bits + 1)) / 2;
    const even = bits % 2 === 0 ? bits : bits + 1;
    const nudge = middle * 2 ** -50;
    if (
      floatFromBfloat(bits) !== low ||
      bfloatFromFloat(-low) !== (bits | 0x8000) ||
      bfloatFromFloat(middle) !== even ||
      bfloatFromFloat(middle - nudge) !== bits ||
      bfloatFromFloat(middle + nudge) !== bits + 1
    ) {
      assert.fail(`bfloat 0x${bits.toString(16)}`);
    }
  }
  assert.equal(bfloatFromFloat((2 - 2 ** -8) * 2 ** 127), 0x7f80);
  assert.equal(bfloatFromFloat(1e-50), 0);
});

test('halves are read and written little-endian at any offset', () => {
  const bytes = new Uint8Array(5);
  assert.equal(writeHalf(bytes, 1, 1 / 3), 0.333251953125);
  assert.deepEqual([...bytes], [0, 0x55, 0x35, 0, 0]);
  assert.equal(readHalf(bytes, 1), 0.333251953125);
});
