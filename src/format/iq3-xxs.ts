/** IQ3_XXS: 256 values as rows of a grid of 256, signs in seven bits for eight, and a 4-bit scale for every 32. */
import { readHalf } from '../base/half.ts';
import type { NumberFormat } from '../format.ts';
import { evenSigns, iq3xxsGrid, putSignedRow, readWord } from './grid.ts';

// Byte 0: d, half. Bytes 2…65: row indices, one for four values. Bytes 66…97: for each of eight sub-blocks (32 values) 32 bits
// little-endian: the sign index of eight values e at bit 7 e, the scale at bit 28. Value: d · (2 · scale + 1)/4 · ±level.
const blockBytes = 98;

export const iq3_xxs: NumberFormat = {
  name: 'iq3_xxs',
  ggufType: 18,
  blockValues: 256,
  blockBytes,
  grid: iq3xxsGrid,

  decode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const at = sourceOffset + block * blockBytes;
      const d = readHalf(source, at);
      for (let subBlock = 0; subBlock < 8; subBlock++) {
        const bits = readWord(source, at + 66 + subBlock * 4);
        const scale = (d * (2 * (bits >>> 28) + 1)) / 4;
        for (let row = 0; row < 8; row++) {
          const signs = evenSigns((bits >>> (7 * (row >> 1))) & 127) >> ((row & 1) * 4);
          const to = targetOffset + block * 256 + subBlock * 32 + row * 4;
          putSignedRow(target, to, iq3xxsGrid, source[at + 2 + subBlock * 8 + row] ?? 0, signs, scale);
        }
      }
    }
  },
};
