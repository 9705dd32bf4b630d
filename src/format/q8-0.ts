/** Q8_0: 32 signed bytes and one scale. */
import { readHalf, writeHalf } from '../base/half.ts';
import type { NumberFormat } from '../format.ts';
import { signedExtreme } from './extremes.ts';

// Byte 0: scale d, half. Bytes 2…33: code of value j as int8 at 2 + j. Value: d · code.
const blockBytes = 34;

export const q8_0: NumberFormat = {
  name: 'q8_0',
  ggufType: 8,
  blockValues: 32,
  blockBytes,

  decode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const at = sourceOffset + block * blockBytes;
      const first = targetOffset + block * 32;
      const scale = readHalf(source, at);
      for (let j = 0; j < 32; j++) {
        target[first + j] = scale * (((source[at + 2 + j] ?? 0) << 24) >> 24);
      }
    }
  },

  /**
   * Error at most m/254 plus the rounding of the scale, m/2048, where m is the largest magnitude of the block.
   * Arithmetic in float32, so that the bytes are those of llama.cpp's reference quantizer.
   */
  encode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const first = sourceOffset + block * 32;
      const at = targetOffset + block * blockBytes;
      const scale = Math.fround(Math.abs(signedExtreme(source, first, 32)) / 127);
      const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
      writeHalf(target, at, scale);
      for (let j = 0; j < 32; j++) {
        const code = Math.fround((source[first + j] ?? 0) * inverse);
        // Ties away from zero.
        target[at + 2 + j] = Math.trunc(code + (code < 0 ? -0.5 : 0.5));
      }
    }
  },
};
