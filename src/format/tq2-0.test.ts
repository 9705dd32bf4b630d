import { test } from 'node:test';
import { bytesWith, checkDecode, valuesWith } from '../../test/fixture/format-case.ts';
import { tq2_0 } from './tq2-0.ts';

test('tq2_0 known block', () => {
  // d = -2 (0xc000). Byte 5: codes 2, 1, 0, 3 of values 5, 37, 69, 101; byte 63 the same of 159, 191, 223, 255.
  const bytes = bytesWith(66, { 5: 0b11_00_01_10, 63: 0b11_00_01_10, 65: 0xc0 });
  const expected = valuesWith(256, 2, { 5: -2, 37: 0, 101: -4, 159: -2, 191: 0, 255: -4 });
  checkDecode(tq2_0, bytes, expected);
});
