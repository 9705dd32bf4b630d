import { test } from 'node:test';
import {
  bytesWith,
  checkDecode,
  checkEncode,
  checkRoundTrip,
  largestMagnitude,
  valuesWith,
} from '../../test/fixture/format-case.ts';
import { q5_0 } from './q5-0.ts';

// Scale -0.5 (0xb800); code 16 (top bit alone) everywhere but: value 0 code 0, 9 code 31, 15 code 5, 16 code 17, 24
// code 2, 31 code 30.
const bytes = bytesWith(22, {
  1: 0xb8,
  2: 0xfe,
  3: 0x7f,
  4: 0xff,
  5: 0xfe,
  6: 0x10,
  14: 0x20,
  15: 0x0f,
  21: 0xe5,
});
const values = valuesWith(32, 0, { 0: 8, 9: -7.5, 15: 5.5, 16: -0.5, 24: 7, 31: -7 });

test('q5_0 known block', () => {
  checkDecode(q5_0, bytes, values);
  checkEncode(q5_0, values, bytes);
});

test('q5_0 round trip', () => {
  checkRoundTrip(q5_0, (block) => largestMagnitude(block) * (1 / 16 + 2 ** -11), 0.05);
});
