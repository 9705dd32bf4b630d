import { test } from 'node:test';
import {
  bytesWith,
  checkDecode,
  checkEncode,
  checkRoundTrip,
  largestMagnitude,
  valuesWith,
} from '../../test/fixture/format-case.ts';
import { q4_1 } from './q4-1.ts';

// Scale 2 (0x4000), minimum -3 (0xc200); nibbles 15 and 1 of values 0 and 16, 2 and 9 of values 15 and 31.
const bytes = bytesWith(20, { 1: 0x40, 3: 0xc2, 4: 0x1f, 19: 0x92 });
const values = valuesWith(32, -3, { 0: 27, 16: -1, 15: 1, 31: 15 });

test('q4_1 known block', () => {
  checkDecode(q4_1, bytes, values);
  checkEncode(q4_1, values, bytes);
});

test('q4_1 round trip', () => {
  const bound = (block: Float64Array): number => {
    const range = Math.max(...block) - Math.min(...block);
    return range / 30 + (range + largestMagnitude(block)) * 2 ** -11;
  };
  checkRoundTrip(q4_1, bound, 0.085);
});
