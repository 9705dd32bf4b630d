import { test } from 'node:test';
import { bytesWith, checkDecode, valuesWith } from '../../test/fixture/format-case.ts';
import { q2_0 } from './q2-0.ts';

test('q2_0 known block', () => {
  // d = 0.5 (0x3800). Byte 2: codes 2, 1, 0, 3 of values 0 to 3; byte 17: code 1 of value 63.
  const bytes = bytesWith(18, { 1: 0x38, 2: 0b11_00_01_10, 17: 0b01_00_00_00 });
  checkDecode(q2_0, bytes, valuesWith(64, -0.5, { 0: 0.5, 1: 0, 3: 1, 63: 0 }));
});
