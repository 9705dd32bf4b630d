/** Q3_K: 256 codes of 3 bits around 4 in sixteen sub-blocks with a signed scale. */
import { readHalf, writeHalf } from '../base/half.ts';
import type { NumberFormat } from '../format.ts';
import { integerLevels } from './search/levels.ts';
import { encodeSymmetricClosely } from './search/super-symmetric.ts';
import { encodeSymmetric, type SymmetricFit } from './symmetric-fit.ts';

// Bytes 0…31: bit b of byte l is the top bit of the code of value l + 32 b. Bytes 32…95: the two low bits; each half of
// 128 values takes 32 bytes, and byte l of them holds values l, l + 32, l + 64, l + 96 of its half, two bits each from
// the lowest. Bytes 96…107: sixteen scales of 6 bits, sub-block s of 16 values: low four bits in byte 96 + s % 8 (low
// for s < 8, high otherwise), top two in byte 104 + s % 4 at bit 2 (s / 4). Byte 108: d, half.
// Value: d · (scale − 32) · (code − 4).
const blockBytes = 110;
const shape = {
  subBlockValues: 16,
  lowestLevel: -4,
  lowestScaleCode: -32,
  nearestCode: (level: number): number => Math.max(0, Math.min(7, Math.round(level) + 4)),
  levels: integerLevels(-4, 3),
};

export const q3_k: NumberFormat = {
  name: 'q3_k',
  ggufType: 11,
  blockValues: 256,
  blockBytes,

  decode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const at = sourceOffset + block * blockBytes;
      const d = readHalf(source, at + 108);
      for (let subBlock = 0; subBlock < 16; subBlock++) {
        const scale = d * scaleAt(source, at + 96, subBlock);
        const first = targetOffset + block * 256 + subBlock * 16;
        const topBits = at + (subBlock & 1) * 16;
        const topShift = subBlock >> 1;
        const codes = at + 32 + codeByte(subBlock);
        const shift = codeShift(subBlock);
        for (let l = 0; l < 16; l++) {
          const top = ((source[topBits + l] ?? 0) >> topShift) & 1;
          target[first + l] = scale * ((((source[codes + l] ?? 0) >> shift) & 3) + (top << 2) - 4);
        }
      }
    }
  },

  /** Error: see symmetric-fit.ts, B = 4, C = 32, levels one apart from −4 to 3: m/4 + m/32. */
  encode: encodeSymmetric(shape, blockBytes, writeBlock),

  encodeClosely: encodeSymmetricClosely(shape, blockBytes, writeBlock),
};

function writeBlock(fit: SymmetricFit, target: Uint8Array, at: number): void {
  target.fill(0, at, at + blockBytes);
  writeHalf(target, at + 108, fit.scale);
  for (let subBlock = 0; subBlock < 16; subBlock++) {
    const scale = (fit.scaleCodes[subBlock] ?? 0) + 32;
    addBits(target, at + 96 + (subBlock & 7), (scale & 15) << ((subBlock >> 3) * 4));
    addBits(target, at + 104 + (subBlock & 3), (scale >> 4) << ((subBlock >> 2) * 2));
    for (let l = 0; l < 16; l++) {
      const code = fit.codes[subBlock * 16 + l] ?? 0;
      addBits(target, at + (subBlock & 1) * 16 + l, (code >> 2) << (subBlock >> 1));
      addBits(target, at + 32 + codeByte(subBlock) + l, (code & 3) << codeShift(subBlock));
    }
  }
}

/** Scale of sub-block 0…15, an integer −32…31. */
function scaleAt(source: Uint8Array, at: number, subBlock: number): number {
  const low = ((source[at + (subBlock & 7)] ?? 0) >> ((subBlock >> 3) * 4)) & 15;
  const top = ((source[at + 8 + (subBlock & 3)] ?? 0) >> ((subBlock >> 2) * 2)) & 3;
  return (low | (top << 4)) - 32;
}

/** Where the low bits of a sub-block's codes begin, and at which bit. */
function codeByte(subBlock: number): number {
  return (subBlock >> 3) * 32 + (subBlock & 1) * 16;
}

function codeShift(subBlock: number): number {
  return subBlock & 6;
}

function addBits(target: Uint8Array, at: number, bits: number): void {
  target[at] = (target[at] ?? 0) | bits;
}
