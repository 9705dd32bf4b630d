/** IQ2_XS: 256 values as rows of a grid of 512, signs in seven bits for eight, and a 4-bit scale for every 16. */
import { readHalf } from '../base/half.ts';
import type { NumberFormat } from '../format.ts';
import { evenSigns, iq2xsGrid, putSignedRow } from './grid.ts';

// Byte 0: d, half. Bytes 2…65: for each row of eight values 16 bits little-endian, the row index in the lower nine, the sign
// index above. Bytes 66…73: scales, byte s for values 32 s on: the low four bits for sixteen of them, the high for the others.
// Value: d · (2 · scale + 1)/8 · ±level.
const blockBytes = 74;

export const iq2_xs: NumberFormat = {
  name: 'iq2_xs',
  ggufType: 17,
  blockValues: 256,
  blockBytes,
  grid: iq2xsGrid,

  decode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const at = sourceOffset + block * blockBytes;
      const d = readHalf(source, at);
      for (let row = 0; row < 32; row++) {
        const bits = (source[at + 2 + 2 * row] ?? 0) | ((source[at + 3 + 2 * row] ?? 0) << 8);
        const scaleCode = ((source[at + 66 + (row >> 2)] ?? 0) >> ((row & 2) * 2)) & 15;
        const scale = (d * (2 * scaleCode + 1)) / 8;
        const to = targetOffset + block * 256 + row * 8;
        putSignedRow(target, to, iq2xsGrid, bits & 511, evenSigns(bits >> 9), scale);
      }
    }
  },
};
