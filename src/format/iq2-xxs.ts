/** IQ2_XXS: 256 values as rows of a grid of 256, signs in seven bits for eight, and a 4-bit scale for every 32. */
import { readHalf } from '../base/half.ts';
import type { NumberFormat } from '../format.ts';
import { evenSigns, iq2xxsGrid, putSignedRow, readWord } from './grid.ts';

// Byte 0: d, half. Then for each of eight sub-blocks (32 values) 8 bytes: four row indices, and 32 bits little-endian:
// the sign index of row r at bit 7 r, the scale at bit 28. Value: d · (2 · scale + 1)/8 · ±level.
const blockBytes = 66;

export const iq2_xxs: NumberFormat = {
  name: 'iq2_xxs',
  ggufType: 16,
  blockValues: 256,
  blockBytes,
  grid: iq2xxsGrid,

  decode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const at = sourceOffset + block * blockBytes;
      const d = readHalf(source, at);
      for (let subBlock = 0; subBlock < 8; subBlock++) {
        const rows = at + 2 + subBlock * 8;
        const bits = readWord(source, rows + 4);
        const scale = (d * (2 * (bits >>> 28) + 1)) / 8;
        for (let row = 0; row < 4; row++) {
          const signs = evenSigns((bits >>> (7 * row)) & 127);
          const to = targetOffset + block * 256 + subBlock * 32 + row * 8;
          putSignedRow(target, to, iq2xxsGrid, source[rows + row] ?? 0, signs, scale);
        }
      }
    }
  },
};
