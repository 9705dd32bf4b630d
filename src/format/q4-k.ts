/** Q4_K: 256 codes of 4 bits in eight sub-blocks with scale and minimum. */
import { readHalf, writeHalf } from '../base/half.ts';
import type { NumberFormat } from '../format.ts';
import { type AffineFit, encodeAffine } from './affine-fit.ts';
import { putAffineGroup } from './e0m4-reading.ts';
import { encodeAffineClosely } from './search/super-affine.ts';
import { minimumCodeAt, packSixBitScales, scaleCodeAt } from './six-bit-scales.ts';

// Byte 0: d, half. Byte 2: dmin, half. Bytes 4…15: scales and minimums, see six-bit-scales.ts; a sub-block has 32 values.
// Bytes 16…143: codes; each pair of sub-blocks takes 32 bytes, the even one their low four bits, the odd one the high.
// Value: d · scale · code − dmin · minimum.
const blockBytes = 144;
const shape = { subBlockValues: 32, largestCode: 15, largestScaleCode: 63 };

export const q4_k: NumberFormat = {
  name: 'q4_k',
  ggufType: 12,
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
        const codes = at + 16 + even * 16;
        const first = targetOffset + block * 256 + even * 32;
        for (let l = 0; l < 32; l++) {
          const pair = source[codes + l] ?? 0;
          target[first + l] = evenScale * (pair & 15) - evenMinimum;
          target[first + 32 + l] = oddScale * (pair >> 4) - oddMinimum;
        }
      }
    }
  },

  /** Error: see affine-fit.ts, L = 15, C = 63. */
  encode: encodeAffine(shape, blockBytes, writeBlock),
  e0m4: {
    groupValues: 32,
    read(source, sourceOffset, blockCount, target, firstGroup) {
      for (let block = 0; block < blockCount; block++) {
        const at = sourceOffset + block * blockBytes;
        const d = readHalf(source, at);
        const dmin = readHalf(source, at + 2);
        for (let subBlock = 0; subBlock < 8; subBlock++) {
          const group = firstGroup + block * 8 + subBlock;
          const step = d * scaleCodeAt(source, at + 4, subBlock);
          putAffineGroup(target, group, step, -dmin * minimumCodeAt(source, at + 4, subBlock));
          const codes = at + 16 + (subBlock >> 1) * 32;
          const shift = (subBlock & 1) * 4;
          for (let j = 0; j < 16; j++) {
            const low = ((source[codes + j] ?? 0) >> shift) & 15;
            const high = ((source[codes + 16 + j] ?? 0) >> shift) & 15;
            target.codes[group * 16 + j] = low | (high << 4);
          }
        }
      }
    },
  },

  encodeClosely: encodeAffineClosely(shape, blockBytes, writeBlock),
};

function writeBlock(fit: AffineFit, target: Uint8Array, at: number): void {
  writeHalf(target, at, fit.scale);
  writeHalf(target, at + 2, fit.minimum);
  packSixBitScales(fit.scaleCodes, fit.minimumCodes, target, at + 4);
  for (let even = 0; even < 8; even += 2) {
    for (let l = 0; l < 32; l++) {
      const low = fit.codes[even * 32 + l] ?? 0;
      const high = fit.codes[even * 32 + 32 + l] ?? 0;
      target[at + 16 + even * 16 + l] = low | (high << 4);
    }
  }
}
