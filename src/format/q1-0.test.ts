import { test } from 'node:test';
import { bytesWith, checkDecode, valuesWith } from '../../test/fixture/format-case.ts';
import { q1_0 } from './q1-0.ts';

test('q1_0 known block', () => {
  // d = 0.5 (0x3800). Byte 2: values 0 and 7; byte 17: value 121.
  const bytes = bytesWith(18, { 1: 0x38, 2: 0x81, 17: 0x02 });
  checkDecode(q1_0, bytes, valuesWith(128, -0.5, { 0: 0.5, 7: 0.5, 121: 0.5 }));
});
