import { test } from 'node:test';
import { checkDecode, checkEncode, checkRoundTrip } from '../../test/fixture/format-case.ts';
import { bf16 } from './bf16.ts';

const bytes = Uint8Array.of(0x80, 0x3f, 0x20, 0xc1, 0x01, 0x00, 0x80, 0x7f);
const values = [1, -10, 2 ** -133, Number.POSITIVE_INFINITY];

test('bf16 known values', () => {
  checkDecode(bf16, bytes, values);
  checkEncode(bf16, values, bytes);
  checkDecode(bf16, Uint8Array.of(0xc0, 0xff), [Number.NaN]);
});

test('bf16 round trip', () => {
  checkRoundTrip(bf16, ([value = 0]) => Math.abs(value) * 2 ** -8, 2 ** -8);
});
