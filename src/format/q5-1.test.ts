import { test } from 'node:test';
import {
  bytesWith,
  checkDecode,
  checkEncode,
  checkRoundTrip,
  largestMagnitude,
  valuesWith,
} from '../../test/fixture/format-case.ts';
import { q5_1 } from './q5-1.ts';

// Scale 2 (0x4000), minimum -3 (0xc200); code 0 everywhere but: value 0 code 31, 7 code 16, 16 code 1, 31 code 18.
const bytes = bytesWith(24, { 1: 0x40, 3: 0xc2, 4: 0x81, 7: 0x80, 8: 0x1f, 23: 0x20 });
const values = valuesWith(32, -3, { 0: 59, 7: 29, 16: -1, 31: 33 });

test('q5_1 known block', () => {
  checkDecode(q5_1, bytes, values);
  checkEncode(q5_1, values, bytes);
});

test('q5_1 round trip', () => {
  const bound = (block: Float64Array): number => {
    const range = Math.max(...block) - Math.min(...block);
    return range / 62 + (range + largestMagnitude(block)) * 2 ** -11;
  };
  checkRoundTrip(q5_1, bound, 0.042);
});
