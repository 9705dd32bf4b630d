/** Q2_K: 256 codes of 2 bits in sixteen sub-blocks with scale and minimum. */
import { readHalf, writeHalf } from '../base/half.ts';
import type { NumberFormat } from '../format.ts';
import { type AffineFit, encodeAffine } from './affine-fit.ts';
import { encodeAffineClosely } from './search/super-affine.ts';

// Bytes 0…15: byte s holds scale (low four bits) and minimum (high) of sub-block s, 16 values each. Bytes 16…79: codes;
// each half of 128 values takes 32 bytes, and byte l of them holds values l, l + 32, l + 64, l + 96 of its half, two
// bits each from the lowest. Byte 80: d, half. Byte 82: dmin, half. Value: d · scale · code − dmin · minimum.
const blockBytes = 84;
const shape = { subBlockValues: 16, largestCode: 3, largestScaleCode: 15 };

export const q2_k: NumberFormat = {
  name: 'q2_k',
  ggufType: 10,
  blockValues: 256,
  blockBytes,

  decode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const at = sourceOffset + block * blockBytes;
      const d = readHalf(source, at + 80);
      const dmin = readHalf(source, at + 82);
      for (let subBlock = 0; subBlock < 16; subBlock++) {
        const factors = source[at + subBlock] ?? 0;
        const scale = d * (factors & 15);
        const minimum = dmin * (factors >> 4);
        const first = targetOffset + block * 256 + subBlock * 16;
        const codes = at + 16 + codeByte(subBlock);
        const shift = codeShift(subBlock);
        for (let l = 0; l < 16; l++) {
          target[first + l] = scale * (((source[codes + l] ?? 0) >> shift) & 3) - minimum;
        }
      }
    }
  },

  /** Error: see affine-fit.ts, L = 3, C = 15. */
  encode: encodeAffine(shape, blockBytes, writeBlock),

  encodeClosely: encodeAffineClosely(shape, blockBytes, writeBlock),
};

function writeBlock(fit: AffineFit, target: Uint8Array, at: number): void {
  target.fill(0, at, at + blockBytes);
  writeHalf(target, at + 80, fit.scale);
  writeHalf(target, at + 82, fit.minimum);
  for (let subBlock = 0; subBlock < 16; subBlock++) {
    target[at + subBlock] = (fit.scaleCodes[subBlock] ?? 0) | ((fit.minimumCodes[subBlock] ?? 0) << 4);
    for (let l = 0; l < 16; l++) {
      const byte = at + 16 + codeByte(subBlock) + l;
      const code = fit.codes[subBlock * 16 + l] ?? 0;
      target[byte] = (target[byte] ?? 0) | (code << codeShift(subBlock));
    }
  }
}

/** Where the codes of a sub-block begin, and at which bit. */
function codeByte(subBlock: number): number {
  return (subBlock >> 3) * 32 + (subBlock & 1) * 16;
}

function codeShift(subBlock: number): number {
  return subBlock & 6;
}
