/** bfloat16, little-endian: the upper half of a float32. */
import { bfloatFromFloat, floatFromBfloat } from '../base/half.ts';
import type { NumberFormat } from '../format.ts';

export const bf16: NumberFormat = {
  name: 'bf16',
  ggufType: 30,
  blockValues: 1,
  blockBytes: 2,

  decode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let i = 0; i < blockCount; i++) {
      const at = sourceOffset + 2 * i;
      target[targetOffset + i] = floatFromBfloat((source[at] ?? 0) | ((source[at + 1] ?? 0) << 8));
    }
  },

  /** Relative error at most 2^-8, absolute 2^-134 below 2^-126. */
  encode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let i = 0; i < blockCount; i++) {
      const bits = bfloatFromFloat(source[sourceOffset + i] ?? 0);
      target[targetOffset + 2 * i] = bits & 0xff;
      target[targetOffset + 2 * i + 1] = bits >>> 8;
    }
  },
};
