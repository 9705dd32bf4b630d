import { test } from 'node:test';
import {
  bytesWith,
  checkDecode,
  checkRoundTrip,
  rangeAndDepth,
  valuesWith,
} from '../../test/fixture/format-case.ts';
import { q5_k } from './q5-k.ts';
import { packSixBitScales } from './six-bit-scales.ts';

test('q5_k known block', () => {
  // d = 0.5 (0x3800), dmin = 2 (0x4000); sub-blocks 0…7 have scales 1, 2, 3, 4, 5, 6, 7, 63 and minimums 0, 0, 0, 1, 0, 0,
  // 0, 62. Top bits, byte 16: sub-blocks 0 and 5 of l = 0; byte 47: sub-blocks 6 and 7 of l = 31. Low bits, byte 48: 15
  // and 1 of values 0 and 32; byte 79: 2 and 3 of values 31 and 63; byte 175: 9 and 12 of values 223 and 255.
  const bytes = bytesWith(176, { 1: 0x38, 3: 0x40, 16: 0x21, 47: 0xc0, 48: 0x1f, 79: 0x32, 175: 0xc9 });
  packSixBitScales(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 63), Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 62), bytes, 4);
  const expected = valuesWith(256, 0, { 0: 15.5, 32: 1, 31: 1, 63: 3, 160: 48, 223: 87.5 });
  expected.fill(-2, 96, 128);
  expected.fill(-124, 224, 256);
  expected[255] = 0.5 * 63 * 28 - 124;
  checkDecode(q5_k, bytes, expected);
});

test('q5_k top bits of all eight sub-blocks', () => {
  // d = 1, every scale 1, no minimum: bit s of top byte l is set where (l + s) is even.
  const bytes = bytesWith(176, { 1: 0x3c });
  packSixBitScales(new Uint8Array(8).fill(1), new Uint8Array(8), bytes, 4);
  for (let l = 0; l < 32; l++) bytes[16 + l] = l % 2 === 0 ? 0x55 : 0xaa;
  const expected = Float64Array.from({ length: 256 }, (_, i) =>
    ((i % 32) + Math.floor(i / 32)) % 2 === 0 ? 16 : 0,
  );
  checkDecode(q5_k, bytes, expected);
});

test('q5_k round trip', () => {
  const bound = (block: Float64Array): number => {
    const [range, depth] = rangeAndDepth(block, 32);
    const codes = range * (1 / (2 * 31) + 1 / (2 * 63) + 1 / (4 * 31 * 63));
    return codes + depth / (2 * 63) + (range + depth) / 1024;
  };
  checkRoundTrip(q5_k, bound, 0.045);
});
