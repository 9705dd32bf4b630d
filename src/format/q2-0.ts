/** Q2_0: 64 codes of 2 bits around 1, and one scale. */
import { readHalf } from '../base/half.ts';
import type { NumberFormat } from '../format.ts';

// Byte 0: d, half. Bytes 2…17: four codes to a byte, lowest bits first. Value: d · (code − 1).
const blockBytes = 18;

export const q2_0: NumberFormat = {
  name: 'q2_0',
  ggufType: 42,
  blockValues: 64,
  blockBytes,

  decode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const at = sourceOffset + block * blockBytes;
      const d = readHalf(source, at);
      for (let i = 0; i < 64; i++) {
        const code = ((source[at + 2 + (i >> 2)] ?? 0) >> ((i & 3) * 2)) & 3;
        target[targetOffset + block * 64 + i] = d * (code - 1);
      }
    }
  },
};
