/** IEEE binary16, little-endian. */
import { readHalf, writeHalf } from '../base/half.ts';
import type { NumberFormat } from '../format.ts';

export const f16: NumberFormat = {
  name: 'f16',
  ggufType: 1,
  blockValues: 1,
  blockBytes: 2,

  decode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let i = 0; i < blockCount; i++) target[targetOffset + i] = readHalf(source, sourceOffset + 2 * i);
  },

  /** Relative error at most 2^-11, absolute 2^-25 below 2^-14; values from 65520 on become infinite. */
  encode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let i = 0; i < blockCount; i++) {
      writeHalf(target, targetOffset + 2 * i, source[sourceOffset + i] ?? 0);
    }
  },
};
