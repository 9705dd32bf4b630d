import { test } from 'node:test';
import {
  bytesWith,
  checkDecode,
  checkRoundTrip,
  largestMagnitude,
  valuesWith,
} from '../../test/fixture/format-case.ts';
import { q3_k } from './q3-k.ts';

test('q3_k known block', () => {
  // d = 0.5 (0x3800). Scales, less 32: sub-block 0 is 63 - 32, 5 is 0x21 - 32, 8 is 0x12 - 32, 15 is 32 - 32, the rest -32.
  // Zero codes mean -4. Byte 32: codes 3, 2, 1 of values 0, 32, 64; byte 31: top bit of value 95 (bit 2, l = 31, in
  // sub-block 5); byte 64: code 3 of value 128, whose top bit is bit 4 of byte 0; byte 95: code 2 of value 255.
  const scales = { 96: 0x2f, 101: 0x01, 104: 0x13, 105: 0x08, 107: 0x80 };
  const bytes = bytesWith(110, { 0: 0x10, 31: 0x04, 32: 0x1b, 64: 0x03, 95: 0x80, 109: 0x38, ...scales });
  const expected = valuesWith(256, 64, { 32: 32, 64: 48 });
  expected.fill(-4 * 15.5, 0, 16);
  expected.fill(-4 * 0.5, 80, 96);
  expected.fill(-4 * -7, 128, 144);
  expected.fill(0, 240, 256);
  expected[0] = -1 * 15.5;
  expected[95] = 0;
  expected[128] = 3 * -7;
  checkDecode(q3_k, bytes, expected);
});

test('q3_k codes of all sixteen sub-blocks', () => {
  // d = 1, every scale 33 - 32. Low bits rotate as in the test of q2_k; top bit b of byte l is set where l + b is even.
  const bytes = bytesWith(110, { 109: 0x3c }).fill(0x11, 96, 104).fill(0xaa, 104, 108);
  const rotations = [0xe4, 0x39, 0x4e, 0x93];
  for (let byte = 0; byte < 64; byte++) bytes[32 + byte] = rotations[byte % 4] ?? 0;
  for (let l = 0; l < 32; l++) bytes[l] = l % 2 === 0 ? 0x55 : 0xaa;
  const expected = Float64Array.from({ length: 256 }, (_, i) => {
    const sum = (i % 32) + Math.floor(i / 32);
    return (sum % 4) + (sum % 2 === 0 ? 4 : 0) - 4;
  });
  checkDecode(q3_k, bytes, expected);
});

test('q3_k round trip', () => {
  checkRoundTrip(q3_k, (block) => largestMagnitude(block) * (1 / 4 + 1 / 32 + 2 ** -10), 0.2);
});
