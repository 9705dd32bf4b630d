import { test } from 'node:test';
import {
  bytesWith,
  checkDecode,
  checkEncode,
  checkRoundTrip,
  largestMagnitude,
  valuesWith,
} from '../../test/fixture/format-case.ts';
import { q8_0 } from './q8-0.ts';

// Scale 0.5; codes 127, -128, -1, 3 of values 0, 1, 30, 31.
const bytes = bytesWith(34, { 1: 0x38, 2: 0x7f, 3: 0x80, 32: 0xff, 33: 0x03 });

test('q8_0 known block', () => {
  checkDecode(q8_0, bytes, valuesWith(32, 0, { 0: 63.5, 1: -64, 30: -0.5, 31: 1.5 }));
});

test('q8_0 rounds to the nearest code, ties away from zero', () => {
  const values = valuesWith(32, 0, { 0: 63.5, 1: -63.5, 2: 0.25, 3: -0.25, 4: 0.2, 31: 1.5 });
  const encoded = bytesWith(34, { 1: 0x38, 2: 0x7f, 3: 0x81, 4: 0x01, 5: 0xff, 33: 0x03 });
  checkEncode(q8_0, values, encoded);
});

test('q8_0 round trip', () => {
  checkRoundTrip(q8_0, (block) => largestMagnitude(block) * (1 / 254 + 2 ** -11), 0.006);
});
