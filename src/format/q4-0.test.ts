import { test } from 'node:test';
import {
  bytesWith,
  checkDecode,
  checkEncode,
  checkRoundTrip,
  largestMagnitude,
  valuesWith,
} from '../../test/fixture/format-case.ts';
import { q4_0 } from './q4-0.ts';

// Scale -0.5 (0xb800); nibbles 0 and 15 of values 0 and 16, 7 and 9 of values 15 and 31; code 8 (zero) elsewhere.
const bytes = bytesWith(18, { 1: 0xb8, 2: 0xf0, 17: 0x97 });
bytes.fill(0x88, 3, 17);
const values = valuesWith(32, 0, { 0: 4, 16: -3.5, 15: 0.5, 31: -0.5 });

test('q4_0 known block', () => {
  checkDecode(q4_0, bytes, values);
  checkEncode(q4_0, values, bytes);
});

test('q4_0 consecutive blocks', () => {
  const two = new Uint8Array(36);
  two.set(bytes, 18);
  checkDecode(q4_0, two, [...new Float64Array(32), ...values]);
});

test('q4_0 clips what lies beyond code 15', () => {
  checkEncode(
    q4_0,
    valuesWith(32, 0, { 0: 4, 16: -4 }),
    Uint8Array.of(0, 0xb8, 0xf0, ...new Uint8Array(15).fill(0x88)),
  );
});

test('q4_0 round trip', () => {
  checkRoundTrip(q4_0, (block) => largestMagnitude(block) * (1 / 8 + 2 ** -11), 0.1);
});
