/** Q1_0: 128 signs and one scale. */
import { readHalf } from '../base/half.ts';
import type { NumberFormat } from '../format.ts';

// Byte 0: d, half. Bytes 2…17: a bit for each value, lowest first. Value: d where it is set, else −d.
const blockBytes = 18;

export const q1_0: NumberFormat = {
  name: 'q1_0',
  ggufType: 41,
  blockValues: 128,
  blockBytes,

  decode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const at = sourceOffset + block * blockBytes;
      const d = readHalf(source, at);
      for (let i = 0; i < 128; i++) {
        const bit = ((source[at + 2 + (i >> 3)] ?? 0) >> (i & 7)) & 1;
        target[targetOffset + block * 128 + i] = bit === 1 ? d : -d;
      }
    }
  },
};
