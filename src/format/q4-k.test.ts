import { test } from 'node:test';
import {
  bytesWith,
  checkDecode,
  checkRoundTrip,
  rangeAndDepth,
  valuesWith,
} from '../../test/fixture/format-case.ts';
import { q4_k } from './q4-k.ts';
import { packSixBitScales } from './six-bit-scales.ts';

test('q4_k known block', () => {
  // d = 0.5 (0x3800), dmin = 2 (0x4000); sub-blocks 0…7 have scales 1, 2, 3, 4, 5, 6, 7, 63 and minimums 0, 0, 0, 1, 0, 0,
  // 0, 62. Byte 16: codes 15 and 1 of values 0 and 32; byte 47: 2 and 3 of values 31 and 63; byte 48: 4 of value 64; byte
  // 143: 9 of value 223 (sub-block 6) and 12 of value 255.
  const bytes = bytesWith(144, { 1: 0x38, 3: 0x40, 16: 0x1f, 47: 0x32, 48: 0x04, 143: 0xc9 });
  packSixBitScales(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 63), Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 62), bytes, 4);
  const expected = valuesWith(256, 0, { 0: 7.5, 32: 1, 31: 1, 63: 3, 64: 6, 223: 31.5 });
  expected.fill(-2, 96, 128);
  expected.fill(-124, 224, 256);
  expected[255] = 0.5 * 63 * 12 - 124;
  checkDecode(q4_k, bytes, expected);
});

test('q4_k round trip', () => {
  const bound = (block: Float64Array): number => {
    const [range, depth] = rangeAndDepth(block, 32);
    const codes = range * (1 / (2 * 15) + 1 / (2 * 63) + 1 / (4 * 15 * 63));
    return codes + depth / (2 * 63) + (range + depth) / 1024;
  };
  checkRoundTrip(q4_k, bound, 0.09);
});
