/** TQ1_0: 256 codes of three levels, five to a byte, and one scale. */
import { readHalf } from '../base/half.ts';
import type { NumberFormat } from '../format.ts';

// Bytes 0…31 hold values 0…159, byte j those of j, j + 32, … j + 128; bytes 32…47 values 160…239, byte j of these 160 + j,
// 160 + j + 16, …; bytes 48…51 values 240…255, byte j of these 240 + j, 240 + j + 4, …. Bytes 52…53: d, half. A byte is
// ⌈256 t / 243⌉, where the base-3 digits of t, highest first, are its codes. Value: d · (code − 1).
const blockBytes = 54;
const parts = [
  { firstByte: 0, bytes: 32, firstValue: 0, digits: 5 },
  { firstByte: 32, bytes: 16, firstValue: 160, digits: 5 },
  { firstByte: 48, bytes: 4, firstValue: 240, digits: 4 },
];

export const tq1_0: NumberFormat = {
  name: 'tq1_0',
  ggufType: 34,
  blockValues: 256,
  blockBytes,

  decode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const at = sourceOffset + block * blockBytes;
      const d = readHalf(source, at + 52);
      for (const { firstByte, bytes, firstValue, digits } of parts) {
        for (let j = 0; j < bytes; j++) {
          let fraction = source[at + firstByte + j] ?? 0;
          for (let digit = 0; digit < digits; digit++) {
            const tripled = 3 * fraction;
            target[targetOffset + block * 256 + firstValue + digit * bytes + j] = d * ((tripled >> 8) - 1);
            fraction = tripled & 255;
          }
        }
      }
    }
  },
};
