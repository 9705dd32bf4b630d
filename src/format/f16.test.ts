import { test } from 'node:test';
import { checkDecode, checkEncode, checkRoundTrip } from '../../test/fixture/format-case.ts';
import { f16 } from './f16.ts';

const bytes = Uint8Array.of(0x00, 0x3c, 0x00, 0xc9, 0x01, 0x00, 0xff, 0x7b, 0x00, 0xfc);
const values = [1, -10, 2 ** -24, 65504, Number.NEGATIVE_INFINITY];

test('f16 known values', () => {
  checkDecode(f16, bytes, values);
  checkEncode(f16, values, bytes);
  checkDecode(f16, Uint8Array.of(0x00, 0x7e), [Number.NaN]);
});

test('f16 round trip', () => {
  checkRoundTrip(f16, ([value = 0]) => Math.max(Math.abs(value) * 2 ** -11, 2 ** -25), 2 ** -11);
});
