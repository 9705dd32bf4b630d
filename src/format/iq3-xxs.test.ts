import { test } from 'node:test';
import { bytesWith, checkDecode, valuesWith } from '../../test/fixture/format-case.ts';
import { iq3_xxs } from './iq3-xxs.ts';

test('iq3_xxs known block', () => {
  // d = 1. Sub-block 7 (values 224…255): its rows 2 and 3 are 100 and 255; the signs of values 8…15 are 0x15 (bits 0, 2, 4 and,
  // to make it even, 7) at bit 7 of the last word, the scale 2. All else is row 0, four times 4, with scale 0: 4/4.
  const bytes = bytesWith(98, { 1: 0x3c, 60: 100, 61: 255, 94: 0x80, 95: 0x0a, 97: 0x20 });
  const expected = valuesWith(256, 1, {});
  expected.fill(5, 224, 256);
  expected.set(
    [-28, 12, -4, 20, -4, 28, 52, -62].map((level) => (level * 5) / 4),
    232,
  );
  checkDecode(iq3_xxs, bytes, expected);
});
