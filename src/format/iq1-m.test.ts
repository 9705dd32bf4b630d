import { test } from 'node:test';
import { bytesWith, checkDecode, valuesWith } from '../../test/fixture/format-case.ts';
import { iq1_m } from './iq1-m.ts';

test('iq1_m known block', () => {
  // d = 1.0625 (0x3c40), a digit in the top of each word from byte 48 on, lowest first. Row 13 (values 104…111): index 1500 =
  // 0x5dc, shift down, the high four bits of byte 38. Its scale, 6, is that of values 96…111, at bit 6 of the second word. All
  // else is row 0, eight times -1, with scale 0 and the shift up.
  const words = [0x0000, 0x4000 | (6 << 6), 0xc000, 0x3000];
  const scales = Object.fromEntries(
    words.flatMap((bits, i) => [
      [48 + 2 * i, bits & 255],
      [49 + 2 * i, bits >> 8],
    ]),
  );
  const bytes = bytesWith(56, { 13: 0xdc, 38: 0xd0, ...scales });
  const expected = valuesWith(256, 1.0625 * -0.875, {});
  expected.fill(13 * 1.0625 * -0.875, 96, 112);
  expected.set(
    [0, -1, -1, 0, -1, 0, -1, 1].map((level) => 13 * 1.0625 * (level - 0.125)),
    104,
  );
  checkDecode(iq1_m, bytes, expected);
});
