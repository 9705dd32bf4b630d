/** IQ2_S: 256 values as rows of a grid of 1024, a sign each, and a 4-bit scale for every 16. */
import { readHalf } from '../base/half.ts';
import type { NumberFormat } from '../format.ts';
import { iq2sGrid, putSignedRow } from './grid.ts';

// Byte 0: d, half. For each row r of eight values: byte 2 + r, its index's low eight bits; byte 34 + r, its signs; bits
// 2 (r mod 4) of byte 66 + r / 4, the index's top two. Bytes 74…81: scales as in IQ2_XS. Value: d · (2 · scale + 1)/8 · ±level.
const blockBytes = 82;

export const iq2_s: NumberFormat = {
  name: 'iq2_s',
  ggufType: 22,
  blockValues: 256,
  blockBytes,
  grid: iq2sGrid,

  decode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const at = sourceOffset + block * blockBytes;
      const d = readHalf(source, at);
      for (let row = 0; row < 32; row++) {
        const top = ((source[at + 66 + (row >> 2)] ?? 0) >> ((row & 3) * 2)) & 3;
        const scaleCode = ((source[at + 74 + (row >> 2)] ?? 0) >> ((row & 2) * 2)) & 15;
        const index = (source[at + 2 + row] ?? 0) | (top << 8);
        const scale = (d * (2 * scaleCode + 1)) / 8;
        const to = targetOffset + block * 256 + row * 8;
        putSignedRow(target, to, iq2sGrid, index, source[at + 34 + row] ?? 0, scale);
      }
    }
  },
};
