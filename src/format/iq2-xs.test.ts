import { test } from 'node:test';
import { bytesWith, checkDecode, valuesWith } from '../../test/fixture/format-case.ts';
import { iq2_xs } from './iq2-xs.ts';

test('iq2_xs known block', () => {
  // d = 1. Row 6 (values 48…55): index 300 = 0x12c, signs 0x7f, odd, so all eight: 0xff2c. Byte 67: scales 2 of values 32…47 and
  // 5 of 48…63. All else is row 0, eight times 8, with scale 0: 8/8.
  const bytes = bytesWith(74, { 1: 0x3c, 14: 0x2c, 15: 0xff, 67: 0x52 });
  const expected = valuesWith(256, 1, {});
  expected.fill(5, 32, 48);
  expected.fill(11, 48, 64);
  expected.set(
    [8, 25, 25, 8, 8, 25, 8, 25].map((level) => (level * -11) / 8),
    48,
  );
  checkDecode(iq2_xs, bytes, expected);
});
