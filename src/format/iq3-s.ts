/** IQ3_S: 256 values as rows of a grid of 512, a sign each, and a 4-bit scale for every 32. */
import { readHalf } from '../base/half.ts';
import type { NumberFormat } from '../format.ts';
import { iq3sGrid, putSignedRow } from './grid.ts';

// Byte 0: d, half. For each row r of four values: byte 2 + r, its index's low eight bits; bit r mod 8 of byte 66 + r / 8, the
// ninth. Bytes 74…105: signs, a bit for each value. Bytes 106…109: scales, byte s for values 64 s on: the low four bits for 32
// of them, the high for the others. Value: d · (2 · scale + 1) · ±level.
const blockBytes = 110;

export const iq3_s: NumberFormat = {
  name: 'iq3_s',
  ggufType: 21,
  blockValues: 256,
  blockBytes,
  grid: iq3sGrid,

  decode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const at = sourceOffset + block * blockBytes;
      const d = readHalf(source, at);
      for (let row = 0; row < 64; row++) {
        const top = ((source[at + 66 + (row >> 3)] ?? 0) >> (row & 7)) & 1;
        const signs = (source[at + 74 + (row >> 1)] ?? 0) >> ((row & 1) * 4);
        const scaleCode = ((source[at + 106 + (row >> 4)] ?? 0) >> ((row & 8) >> 1)) & 15;
        const index = (source[at + 2 + row] ?? 0) | (top << 8);
        const to = targetOffset + block * 256 + row * 4;
        putSignedRow(target, to, iq3sGrid, index, signs, d * (2 * scaleCode + 1));
      }
    }
  },
};
