import { test } from 'node:test';
import {
  bytesWith,
  checkDecode,
  checkRoundTrip,
  largestMagnitude,
  valuesWith,
} from '../../test/fixture/format-case.ts';
import { iq4_xs } from './iq4-xs.ts';

test('iq4_xs known block', () => {
  // d = 0.5 (0x3800). Scales, less 32: sub-block 0 is 0x21, 3 is 0x3f, 6 is 0x13, 7 is 0x20; the rest 0 - 32. Code 0 is
  // level -127. Byte 8: codes 8 and 15 of values 0 and 16; byte 71: 7 and 9 of values 111 and 127; byte 135: 1 and 2 of
  // values 239 and 255 (scale 0).
  const scales = { 2: 0xc2, 3: 0x90, 4: 0x01, 5: 0xf0, 7: 0x03 };
  const bytes = bytesWith(136, { 1: 0x38, ...scales, 8: 0xf8, 71: 0x97, 104: 0x0d, 135: 0x21 });
  const expected = valuesWith(256, -16 * -127, {});
  expected.fill(0.5 * -127, 0, 32);
  expected.fill(15.5 * -127, 96, 128);
  expected.fill(-6.5 * -127, 192, 224);
  expected.fill(0, 224, 256);
  expected[0] = 0.5;
  expected[16] = 0.5 * 113;
  expected[111] = 15.5 * -10;
  expected[127] = 15.5 * 13;
  expected[192] = -6.5 * 69;
  checkDecode(iq4_xs, bytes, expected);
});

test('iq4_xs round trip', () => {
  checkRoundTrip(iq4_xs, (block) => largestMagnitude(block) * (14 / 127 + 1 / 32 + 2 ** -10), 0.09);
});
