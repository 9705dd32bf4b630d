/** IQ1_M: 256 values as rows of a grid of 2048 with three levels; 16 values share a scale, 8 a shift. */
import { floatFromHalf } from '../base/half.ts';
import type { NumberFormat } from '../format.ts';
import { iq1Grid, putShiftedRow } from './grid.ts';

// Bytes 0…31: the row indices' low eight bits, one row for eight values. Bytes 32…47: four bits for each row, the even ones low:
// the index's top three, and above them one that is set where the shift is down. Bytes 48…55: four words of 16 bits
// little-endian; word w has the scales of values 64 w on, three bits for every 16 of them, and in its top four bits a quarter of
// the half d, the lowest first. Value: d · (2 · scale + 1) · (level ± 1/8).
const blockBytes = 56;

export const iq1_m: NumberFormat = {
  name: 'iq1_m',
  ggufType: 29,
  blockValues: 256,
  blockBytes,
  grid: iq1Grid,

  decode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const at = sourceOffset + block * blockBytes;
      let halfBits = 0;
      for (let part = 0; part < 4; part++) halfBits |= ((source[at + 49 + 2 * part] ?? 0) >> 4) << (4 * part);
      const d = floatFromHalf(halfBits);
      for (let row = 0; row < 32; row++) {
        const bits = ((source[at + 32 + (row >> 1)] ?? 0) >> ((row & 1) * 4)) & 15;
        const index = (source[at + row] ?? 0) | ((bits & 7) << 8);
        const part = at + 48 + (row >> 3) * 2;
        const scales = (source[part] ?? 0) | ((source[part + 1] ?? 0) << 8);
        const scale = d * (2 * ((scales >> (3 * ((row >> 1) & 3))) & 7) + 1);
        const to = targetOffset + block * 256 + row * 8;
        putShiftedRow(target, to, iq1Grid, index, bits >> 3 === 1 ? -1 / 8 : 1 / 8, scale);
      }
    }
  },
};
