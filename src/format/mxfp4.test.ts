import { test } from 'node:test';
import {
  bytesWith,
  checkDecode,
  checkEncode,
  checkRoundTrip,
  largestMagnitude,
  valuesWith,
} from '../../test/fixture/format-case.ts';
import { mxfp4 } from './mxfp4.ts';

test('mxfp4 has every E2M1 number at its place', () => {
  // Exponent 127 is the scale 1. Value j has code j, value j + 16 code 15 - j.
  const bytes = Uint8Array.from({ length: 17 }, (_, i) => (i === 0 ? 127 : (i - 1) | ((16 - i) << 4)));
  const numbers = [0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6];
  checkDecode(mxfp4, bytes, [...numbers, ...numbers.toReversed()]);
});

test('mxfp4 scales are powers of two to either end', () => {
  checkDecode(
    mxfp4,
    bytesWith(17, { 0: 0, 1: 0x01, 16: 0x70 }),
    valuesWith(32, 0, { 0: 2 ** -128, 31: 12 * 2 ** -128 }),
  );
  checkDecode(mxfp4, bytesWith(17, { 0: 254, 1: 0x09 }), valuesWith(32, 0, { 0: -(2 ** 126) }));
});

test('mxfp4 encodes nearest, ties to the smaller', () => {
  const values = valuesWith(32, 0, { 0: -24, 1: 1, 2: 1.01, 15: 10, 16: -1, 31: 10.1 });
  checkEncode(mxfp4, values, bytesWith(17, { 0: 129, 1: 0x0f, 3: 0x01, 16: 0x54 }));
});

test('mxfp4 round trip', () => {
  checkRoundTrip(mxfp4, (block) => largestMagnitude(block) / 4, 0.13);
});
