import { test } from 'node:test';
import {
  bytesWith,
  checkDecode,
  checkRoundTrip,
  largestMagnitude,
  valuesWith,
} from '../../test/fixture/format-case.ts';
import { q6_k } from './q6-k.ts';

test('q6_k known block', () => {
  // d = 0.5 (0x3800); scales 127, -128, 2, 3 of sub-blocks 0, 5, 8, 15, the rest 0. Code 0 means -32.
  // Byte 0: low bits 15 of value 0, 1 of value 64. Byte 128: top bits 3, 2, 1, 0 of values 0, 32, 64, 96.
  // Byte 63 (second quarter pair, l = 31): low bits 5 of value 63, 9 of value 127. Byte 31: 7 of value 31, 4 of value 95;
  // byte 159: top bits of values 31, 63, 95, 127: 0, 0, 2, 0. Byte 64: low bits 6 of value 128; byte 160: top bits 2 of
  // value 128. Byte 127: low bits 14 of value 255; byte 191: top bits 3 of value 255.
  const low = { 0: 0x1f, 31: 0x47, 63: 0x95, 64: 0x06, 127: 0xe0 };
  const top = { 128: 0x1b, 159: 0x20, 160: 0x02, 191: 0xc0 };
  const scales = { 192: 127, 197: 0x80, 200: 2, 207: 3 };
  const bytes = bytesWith(210, { ...low, ...top, ...scales, 209: 0x38 });
  const expected = valuesWith(256, 0, {});
  expected.fill(0.5 * 127 * -32, 0, 16);
  expected.fill(0.5 * -128 * -32, 80, 96);
  expected.fill(0.5 * 2 * -32, 128, 144);
  expected.fill(0.5 * 3 * -32, 240, 256);
  expected[0] = 0.5 * 127 * (63 - 32);
  expected[95] = 0.5 * -128 * (36 - 32);
  expected[128] = 0.5 * 2 * (38 - 32);
  expected[255] = 0.5 * 3 * (62 - 32);
  checkDecode(q6_k, bytes, expected);
});

test('q6_k codes of all sixteen sub-blocks', () => {
  // d = 1, every scale 1. Value i has the code 5 i mod 64, placed by the rule of the layout.
  const bytes = bytesWith(210, { 209: 0x3c }).fill(1, 192, 208);
  for (let i = 0; i < 256; i++) {
    const [half, quarter, l] = [Math.floor(i / 128), Math.floor(i / 32) % 4, i % 32];
    const code = (5 * i) % 64;
    const low = 64 * half + 32 * (quarter % 2) + l;
    const top = 128 + 32 * half + l;
    bytes[low] = (bytes[low] ?? 0) + (code % 16) * (quarter < 2 ? 1 : 16);
    bytes[top] = (bytes[top] ?? 0) + Math.floor(code / 16) * 4 ** quarter;
  }
  checkDecode(
    q6_k,
    bytes,
    Float64Array.from({ length: 256 }, (_, i) => ((5 * i) % 64) - 32),
  );
});

test('q6_k round trip', () => {
  checkRoundTrip(q6_k, (block) => largestMagnitude(block) * (1 / 32 + 1 / 128 + 2 ** -10), 0.025);
});
