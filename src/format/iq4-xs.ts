/** IQ4_XS: 256 codes of 4 bits into a table of uneven levels, in eight sub-blocks with a signed scale. */
import { readHalf, writeHalf } from '../base/half.ts';
import type { NumberFormat } from '../format.ts';
import { iq4Levels, nearestIq4Code } from './iq4-levels.ts';
import { unevenLevels } from './search/levels.ts';
import { encodeSymmetricClosely } from './search/super-symmetric.ts';
import { encodeSymmetric, type SymmetricFit } from './symmetric-fit.ts';

// Byte 0: d, half. Bytes 2…3, 16 bits little-endian: top two bits of the scale of sub-block s (32 values) at bit 2 s.
// Bytes 4…7: its low four bits in byte 4 + s / 2 (low for even s, high for odd). Bytes 8…135: codes, 16 bytes per
// sub-block; byte j holds value j in its low and value j + 16 in its high four bits.
// Value: d · (scale − 32) · iq4Levels[code].
const blockBytes = 136;
const shape = {
  subBlockValues: 32,
  lowestLevel: -127,
  lowestScaleCode: -32,
  nearestCode: nearestIq4Code,
  levels: unevenLevels(iq4Levels),
};

export const iq4_xs: NumberFormat = {
  name: 'iq4_xs',
  ggufType: 23,
  blockValues: 256,
  blockBytes,

  decode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const at = sourceOffset + block * blockBytes;
      const d = readHalf(source, at);
      const topScales = (source[at + 2] ?? 0) | ((source[at + 3] ?? 0) << 8);
      for (let subBlock = 0; subBlock < 8; subBlock++) {
        const low = ((source[at + 4 + (subBlock >> 1)] ?? 0) >> ((subBlock & 1) * 4)) & 15;
        const top = (topScales >> (2 * subBlock)) & 3;
        const scale = d * ((low | (top << 4)) - 32);
        const codes = at + 8 + subBlock * 16;
        const first = targetOffset + block * 256 + subBlock * 32;
        for (let j = 0; j < 16; j++) {
          const pair = source[codes + j] ?? 0;
          target[first + j] = scale * (iq4Levels[pair & 15] ?? 0);
          target[first + 16 + j] = scale * (iq4Levels[pair >> 4] ?? 0);
        }
      }
    }
  },

  /** Error: see symmetric-fit.ts, B = 127, C = 32, the highest level 113 and gaps of at most 24: 14 m/127 + m/32. */
  encode: encodeSymmetric(shape, blockBytes, writeBlock),

  encodeClosely: encodeSymmetricClosely(shape, blockBytes, writeBlock),
};

function writeBlock(fit: SymmetricFit, target: Uint8Array, at: number): void {
  writeHalf(target, at, fit.scale);
  let topScales = 0;
  let lowScales = 0;
  for (let subBlock = 0; subBlock < 8; subBlock++) {
    const scale = (fit.scaleCodes[subBlock] ?? 0) + 32;
    topScales |= (scale >> 4) << (2 * subBlock);
    lowScales |= (scale & 15) << (4 * subBlock);
    for (let j = 0; j < 16; j++) {
      const low = fit.codes[subBlock * 32 + j] ?? 0;
      const high = fit.codes[subBlock * 32 + 16 + j] ?? 0;
      target[at + 8 + subBlock * 16 + j] = low | (high << 4);
    }
  }
  target[at + 2] = topScales;
  target[at + 3] = topScales >> 8;
  for (let byte = 0; byte < 4; byte++) target[at + 4 + byte] = lowScales >>> (8 * byte);
}
