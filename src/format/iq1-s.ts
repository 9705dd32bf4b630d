/** IQ1_S: 256 values as rows of a grid of 2048 with three levels; 32 values share a scale and a shift. */
import { readHalf } from '../base/half.ts';
import type { NumberFormat } from '../format.ts';
import { iq1Grid, putShiftedRow } from './grid.ts';

// Byte 0: d, half. Bytes 2…33: the row indices' low eight bits, one row for eight values. Bytes 34…49: for each of eight
// sub-blocks (32 values) 16 bits little-endian: the top three bits of its row r at bit 3 r, the scale at bit 12, and bit 15, set
// where the shift is down. Value: d · (2 · scale + 1) · (level ± 1/8).
const blockBytes = 50;

export const iq1_s: NumberFormat = {
  name: 'iq1_s',
  ggufType: 19,
  blockValues: 256,
  blockBytes,
  grid: iq1Grid,

  decode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const at = sourceOffset + block * blockBytes;
      const d = readHalf(source, at);
      for (let row = 0; row < 32; row++) {
        const part = at + 34 + (row >> 2) * 2;
        const bits = (source[part] ?? 0) | ((source[part + 1] ?? 0) << 8);
        const index = (source[at + 2 + row] ?? 0) | (((bits >> (3 * (row & 3))) & 7) << 8);
        const scale = d * (2 * ((bits >> 12) & 7) + 1);
        const to = targetOffset + block * 256 + row * 8;
        putShiftedRow(target, to, iq1Grid, index, bits >> 15 === 1 ? -1 / 8 : 1 / 8, scale);
      }
    }
  },
};
