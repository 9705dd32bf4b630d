import { test } from 'node:test';
import { bytesWith, checkDecode, valuesWith } from '../../test/fixture/format-case.ts';
import { nvfp4 } from './nvfp4.ts';

test('nvfp4 known block', () => {
  // Scales: 0x38 is 1, 0x7e the largest, 448, 0x01 the smallest, 2^-9, and 0x7f NaN, which stands for 0. Codes 1 and 15 (0.5 and
  // -6) of values 0 and 8, the same in the first byte of each sub-block; other codes are 0.
  const bytes = bytesWith(36, { 0: 0x38, 1: 0x7e, 2: 0x01, 3: 0x7f, 4: 0xf1, 12: 0xf1, 20: 0xf1, 28: 0xf1 });
  const large = { 16: 224, 24: -6 * 448 };
  const small = { 32: 2 ** -10, 40: -6 * 2 ** -9 };
  checkDecode(nvfp4, bytes, valuesWith(64, 0, { 0: 0.5, 8: -6, ...large, ...small }));
});
