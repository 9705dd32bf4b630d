import { test } from 'node:test';
import { bytesWith, checkDecode, valuesWith } from '../../test/fixture/format-case.ts';
import { iq2_xxs } from './iq2-xxs.ts';

test('iq2_xxs known block', () => {
  // d = 1 (0x3c00). Sub-block 1 begins at byte 10: row 100 first, signs 0x41 (bits 0 and 6, even) and 0x01 (bits 0 and, to make
  // it even, 7), scale 3. All else is row 0, eight times 8, with scale 0: 8/8.
  const bytes = bytesWith(66, { 1: 0x3c, 10: 100, 14: 0xc1, 17: 0x30 });
  const expected = valuesWith(256, 1, {});
  expected.fill(7, 32, 64);
  expected.set(
    [-8, 25, 8, 8, 8, 43, -25, 8].map((level) => (level * 7) / 8),
    32,
  );
  expected[40] = -7;
  expected[47] = -7;
  checkDecode(iq2_xxs, bytes, expected);
});
