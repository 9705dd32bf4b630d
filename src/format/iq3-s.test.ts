import { test } from 'node:test';
import { bytesWith, checkDecode, valuesWith } from '../../test/fixture/format-case.ts';
import { iq3_s } from './iq3-s.ts';

test('iq3_s known block', () => {
  // d = 1. Rows 20 and 21 (values 80…87): indices 300 = 0x12c and 511, their ninth bits 4 and 5 of byte 68; signs 0x81. Row 63:
  // index 255 without the ninth bit. Scales: 3 of values 64…95, 15 of 224…255. All else is row 0, four times 1.
  const bytes = bytesWith(110, { 1: 0x3c, 22: 0x2c, 23: 0xff, 68: 0x30, 84: 0x81, 107: 0x03, 109: 0xf0 });
  const expected = valuesWith(256, 1, {});
  expected.fill(7, 64, 96);
  expected.set(
    [-3, 5, 3, 7, 1, 1, 15, -15].map((level) => level * 7),
    80,
  );
  expected.fill(31, 224, 256);
  checkDecode(iq3_s, bytes, expected);
});
