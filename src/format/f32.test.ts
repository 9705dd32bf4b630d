import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkDecode, checkEncode, checkRoundTrip } from '../../test/fixture/format-case.ts';
import { f32 } from './f32.ts';

const bytes = Uint8Array.of(0x00, 0x00, 0x80, 0x3f, 0x00, 0x00, 0x20, 0xc1, 0x01, 0x00, 0x00, 0x00);
const values = [1, -10, 2 ** -149];

test('f32 known values', () => {
  checkDecode(f32, bytes, values);
  checkEncode(f32, values, bytes);
});

test('f32 at every alignment', () => {
  for (let offset = 0; offset < 4; offset++) {
    for (let viewOffset = 0; viewOffset < 4; viewOffset++) {
      const source = new Uint8Array(24).subarray(viewOffset);
      source.set(bytes, offset);
      const target = new Float64Array(4);
      f32.decode(source, offset, target, 1, 3);
      assert.deepEqual([...target], [0, ...values]);
    }
  }
});

test('f32 round trip', () => {
  checkRoundTrip(f32, ([value = 0]) => Math.abs(value) * 2 ** -24, 2 ** -24);
});
