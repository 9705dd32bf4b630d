/** TQ2_0: 256 codes of 2 bits around 1, and one scale. */
import { readHalf } from '../base/half.ts';
import type { NumberFormat } from '../format.ts';

// Bytes 0…63: byte j of the first 32 holds values j, j + 32, j + 64, j + 96, lowest bits first; the other 32 go on at 128.
// Bytes 64…65: d, half. Value: d · (code − 1).
const blockBytes = 66;

export const tq2_0: NumberFormat = {
  name: 'tq2_0',
  ggufType: 35,
  blockValues: 256,
  blockBytes,

  decode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const at = sourceOffset + block * blockBytes;
      const d = readHalf(source, at + 64);
      for (let i = 0; i < 256; i++) {
        const code = ((source[at + (i >> 7) * 32 + (i & 31)] ?? 0) >> (((i >> 5) & 3) * 2)) & 3;
        target[targetOffset + block * 256 + i] = d * (code - 1);
      }
    }
  },
};
