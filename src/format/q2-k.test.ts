import { test } from 'node:test';
import {
  bytesWith,
  checkDecode,
  checkRoundTrip,
  rangeAndDepth,
  valuesWith,
} from '../../test/fixture/format-case.ts';
import { q2_k } from './q2-k.ts';

test('q2_k known block', () => {
  // d = 0.5 (0x3800), dmin = 2 (0x4000). Sub-blocks 0, 3, 8 and 15 have scales 3, 15, 1, 2 and minimums 1, 0, 0, 4; all
  // other factors are 0. Byte 16 (l = 0, first half): codes 3, 2, 1, 0 of values 0, 32, 64, 96. Byte 16 + 31: code 2 of
  // value 63. Byte 48: code 1 of value 128. Byte 79: code 3 of value 255.
  const factors = { 0: 0x13, 3: 0x0f, 8: 0x01, 15: 0x42 };
  const bytes = bytesWith(84, { ...factors, 16: 0x1b, 47: 0x08, 48: 0x01, 79: 0xc0, 81: 0x38, 83: 0x40 });
  const expected = valuesWith(256, 0, { 63: 0.5 * 15 * 2, 128: 0.5 });
  expected.fill(-2, 0, 16);
  expected.fill(-8, 240, 256);
  expected[0] = 0.5 * 3 * 3 - 2;
  expected[255] = 0.5 * 2 * 3 - 8;
  checkDecode(q2_k, bytes, expected);
});

test('q2_k codes of all sixteen sub-blocks', () => {
  // d = 1, every scale 1, no minimum. Byte l of a half has its four codes c, c + 1, c + 2, c + 3 (mod 4), c = l mod 4.
  const bytes = bytesWith(84, { 81: 0x3c }).fill(0x01, 0, 16);
  const rotations = [0xe4, 0x39, 0x4e, 0x93];
  for (let byte = 0; byte < 64; byte++) bytes[16 + byte] = rotations[byte % 4] ?? 0;
  const expected = Float64Array.from({ length: 256 }, (_, i) => ((i % 32) + Math.floor(i / 32)) % 4);
  checkDecode(q2_k, bytes, expected);
});

test('q2_k round trip', () => {
  const bound = (block: Float64Array): number => {
    const [range, depth] = rangeAndDepth(block, 16);
    const codes = range * (1 / (2 * 3) + 1 / (2 * 15) + 1 / (4 * 3 * 15));
    return codes + depth / (2 * 15) + (range + depth) / 1024;
  };
  checkRoundTrip(q2_k, bound, 0.36);
});
