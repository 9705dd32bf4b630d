import { test } from 'node:test';
import { bytesWith, checkDecode, valuesWith } from '../../test/fixture/format-case.ts';
import { iq2_s } from './iq2-s.ts';

test('iq2_s known block', () => {
  // d = 1. Row 30 (values 240…247): index 700 = 0x2bc, its top bits 2 at bit 4 of byte 73; signs 0x90. Byte 81: scales 1 of values
  // 224…239 and 4 of 240…255. All else is row 0, eight times 8, with scale 0: 8/8.
  const bytes = bytesWith(82, { 1: 0x3c, 32: 0xbc, 64: 0x90, 73: 0x20, 81: 0x41 });
  const expected = valuesWith(256, 1, {});
  expected.fill(3, 224, 240);
  expected.fill(9, 240, 256);
  expected.set(
    [8, 8, 8, 43, -43, 8, 25, -25].map((level) => (level * 9) / 8),
    240,
  );
  checkDecode(iq2_s, bytes, expected);
});
