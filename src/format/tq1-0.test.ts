import { test } from 'node:test';
import { bytesWith, checkDecode, valuesWith } from '../../test/fixture/format-case.ts';
import { tq1_0 } from './tq1-0.ts';

test('tq1_0 known block', () => {
  // d = 0.5 (0x3800). A byte is the ceiling of 256 t / 243. Byte 3: t = 02112 in base 3 = 68, so 72: values 3, 35, … 131. Byte 33:
  // 11111 = 121, so 128: values 161, 177, … 225. Byte 49: 20120 = 177, so 187: values 241, 245, 249, 253 and nothing of the
  // last digit. Byte 0: 22222 = 242, so 255. All else is -1.
  const bytes = bytesWith(54, { 0: 255, 3: 72, 33: 128, 49: 187, 53: 0x38 });
  const expected = valuesWith(256, -0.5, { 35: 0.5, 67: 0, 99: 0, 131: 0.5, 241: 0.5, 249: 0, 253: 0.5 });
  for (const first of [0, 32, 64, 96, 128]) expected[first] = 0.5;
  for (const first of [161, 177, 193, 209, 225]) expected[first] = 0;
  checkDecode(tq1_0, bytes, expected);
});
