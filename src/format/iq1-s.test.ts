import { test } from 'node:test';
import { bytesWith, checkDecode, valuesWith } from '../../test/fixture/format-case.ts';
import { iq1_s } from './iq1-s.ts';

test('iq1_s known block', () => {
  // d = 1. Row 5 (values 40…47, row 1 of its sub-block): index 1500 = 0x5dc, its top three bits 5 at bit 3 of the word at byte 36,
  // which also has scale 7 and the shift down. All else is row 0, eight times -1, with scale 0 and the shift up.
  const word = (5 << 3) | (7 << 12) | (1 << 15);
  const bytes = bytesWith(50, { 1: 0x3c, 7: 0xdc, 36: word & 255, 37: word >> 8 });
  const expected = valuesWith(256, -0.875, {});
  expected.fill(15 * -1.125, 32, 64);
  expected.set(
    [0, -1, -1, 0, -1, 0, -1, 1].map((level) => 15 * (level - 0.125)),
    40,
  );
  checkDecode(iq1_s, bytes, expected);
});
