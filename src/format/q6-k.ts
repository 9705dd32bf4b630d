/** Q6_K: 256 codes of 6 bits around 32 in sixteen sub-blocks with a signed scale. */
import { readHalf, writeHalf } from '../base/half.ts';
import type { NumberFormat } from '../format.ts';
import { integerLevels } from './search/levels.ts';
import { encodeSymmetricClosely } from './search/super-symmetric.ts';
import { encodeSymmetric, type SymmetricFit } from './symmetric-fit.ts';

// Each half of 128 values (h = 0, 1) is four quarters of 32 (q = 0…3), and value l of a quarter has its low four bits in
// byte 64 h + 32 (q % 2) + l of bytes 0…127 (low for q < 2, high otherwise) and its top two in byte 128 + 32 h + l at bit
// 2 q. Bytes 192…207: scales of the sub-blocks of 16 values, int8. Byte 208: d, half.
// Value: d · scale · (code − 32).
const blockBytes = 210;
const shape = {
  subBlockValues: 16,
  lowestLevel: -32,
  lowestScaleCode: -128,
  nearestCode: (level: number): number => Math.max(0, Math.min(63, Math.round(level) + 32)),
  levels: integerLevels(-32, 31),
};

export const q6_k: NumberFormat = {
  name: 'q6_k',
  ggufType: 14,
  blockValues: 256,
  blockBytes,

  decode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const at = sourceOffset + block * blockBytes;
      const d = readHalf(source, at + 208);
      for (let subBlock = 0; subBlock < 16; subBlock++) {
        const scale = d * (((source[at + 192 + subBlock] ?? 0) << 24) >> 24);
        const first = targetOffset + block * 256 + subBlock * 16;
        const low = at + lowByte(subBlock);
        const lowShift = subBlock & 4;
        const top = at + 128 + topByte(subBlock);
        const topShift = subBlock & 6;
        for (let l = 0; l < 16; l++) {
          const lowBits = ((source[low + l] ?? 0) >> lowShift) & 15;
          const topBits = ((source[top + l] ?? 0) >> topShift) & 3;
          target[first + l] = scale * (lowBits + (topBits << 4) - 32);
        }
      }
    }
  },

  /** Error: see symmetric-fit.ts, B = 32, C = 128, levels one apart from −32 to 31: m/32 + m/128. */
  encode: encodeSymmetric(shape, blockBytes, writeBlock),

  encodeClosely: encodeSymmetricClosely(shape, blockBytes, writeBlock),
};

function writeBlock(fit: SymmetricFit, target: Uint8Array, at: number): void {
  target.fill(0, at, at + blockBytes);
  writeHalf(target, at + 208, fit.scale);
  for (let subBlock = 0; subBlock < 16; subBlock++) {
    target[at + 192 + subBlock] = fit.scaleCodes[subBlock] ?? 0;
    for (let l = 0; l < 16; l++) {
      const code = fit.codes[subBlock * 16 + l] ?? 0;
      const low = at + lowByte(subBlock) + l;
      const top = at + 128 + topByte(subBlock) + l;
      target[low] = (target[low] ?? 0) | ((code & 15) << (subBlock & 4));
      target[top] = (target[top] ?? 0) | ((code >> 4) << (subBlock & 6));
    }
  }
}

/** Where the low bits of a sub-block's codes begin; two of the four quarters share bytes. */
function lowByte(subBlock: number): number {
  return (subBlock >> 3) * 64 + (subBlock & 3) * 16;
}

/** Where the top bits begin; all four quarters of a half share bytes. */
function topByte(subBlock: number): number {
  return (subBlock >> 3) * 32 + (subBlock & 1) * 16;
}
