/** Q5_K: 256 codes of 5 bits in eight sub-blocks with scale and minimum. */
import { readHalf, writeHalf } from '../base/half.ts';
import type { NumberFormat } from '../format.ts';
import { type AffineFit, encodeAffine } from './affine-fit.ts';
import { encodeAffineClosely } from './search/super-affine.ts';
import { minimumCodeAt, packSixBitScales, scaleCodeAt } from './six-bit-scales.ts';

// Byte 0: d, half. Byte 2: dmin, half. Bytes 4…15: scales and minimums, see six-bit-scales.ts; a sub-block has 32 values.
// Bytes 16…47: bit s of byte 16 + l is the top bit of the code of value l of sub-block s. Bytes 48…175: the low four
// bits; each pair of sub-blocks takes 32 bytes, the even one their low four bits, the odd one the high.
// Value: d · scale · code − dmin · minimum.
const blockBytes = 176;
const shape = { subBlockValues: 32, largestCode: 31, largestScaleCode: 63 };

export const q5_k: NumberFormat = {
  name: 'q5_k',
  ggufType: 13,
  blockValues: 256,
  blockBytes,

  decode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const at = sourceOffset + block * blockBytes;
      const d = readHalf(source, at);
      const dmin = readHalf(source, at + 2);
      for (let even = 0; even < 8; even += 2) {
        const evenScale = d * scaleCodeAt(source, at + 4, even);
        const evenMinimum = dmin * minimumCodeAt(source, at + 4, even);
        const oddScale = d * scaleCodeAt(source, at + 4, even + 1);
        const oddMinimum = dmin * minimumCodeAt(source, at + 4, even + 1);
        const codes = at + 48 + even * 16;
        const first = targetOffset + block * 256 + even * 32;
        for (let l = 0; l < 32; l++) {
          const pair = source[codes + l] ?? 0;
          const top = (source[at + 16 + l] ?? 0) >> even;
          target[first + l] = evenScale * ((pair & 15) | ((top & 1) << 4)) - evenMinimum;
          target[first + 32 + l] = oddScale * ((pair >> 4) | ((top & 2) << 3)) - oddMinimum;
        }
      }
    }
  },

  /** Error: see affine-fit.ts, L = 31, C = 63. */
  encode: encodeAffine(shape, blockBytes, writeBlock),

  encodeClosely: encodeAffineClosely(shape, blockBytes, writeBlock),
};

function writeBlock(fit: AffineFit, target: Uint8Array, at: number): void {
  writeHalf(target, at, fit.scale);
  writeHalf(target, at + 2, fit.minimum);
  packSixBitScales(fit.scaleCodes, fit.minimumCodes, target, at + 4);
  for (let l = 0; l < 32; l++) {
    let topBits = 0;
    for (let even = 0; even < 8; even += 2) {
      const low = fit.codes[even * 32 + l] ?? 0;
      const high = fit.codes[even * 32 + 32 + l] ?? 0;
      target[at + 48 + even * 16 + l] = (low & 15) | ((high & 15) << 4);
      topBits |= ((low >> 4) << even) | ((high >> 4) << (even + 1));
    }
    target[at + 16 + l] = topBits;
  }
}
