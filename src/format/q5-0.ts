/** Q5_0: 32 codes of 5 bits around 16 and one scale. */
import { readHalf, writeHalf } from '../base/half.ts';
import type { NumberFormat } from '../format.ts';
import { signedExtreme } from './extremes.ts';
import { integerLevels } from './search/levels.ts';
import { encodeByScale } from './search/scale.ts';

// Byte 0: scale d, half. Bytes 2…5: bit j % 8 of byte 2 + j / 8 is the top bit of value j's code. Bytes 6…21: byte 6 + j
// holds the other four bits of value j (low) and value j + 16 (high). Value: d · (code − 16).
const blockBytes = 22;
const levels = integerLevels(-16, 15);

export const q5_0: NumberFormat = {
  name: 'q5_0',
  ggufType: 6,
  blockValues: 32,
  blockBytes,

  decode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const at = sourceOffset + block * blockBytes;
      const first = targetOffset + block * 32;
      const scale = readHalf(source, at);
      const topLow = (source[at + 2] ?? 0) | ((source[at + 3] ?? 0) << 8);
      const topHigh = (source[at + 4] ?? 0) | ((source[at + 5] ?? 0) << 8);
      for (let j = 0; j < 16; j++) {
        const pair = source[at + 6 + j] ?? 0;
        target[first + j] = scale * ((pair & 15) + (((topLow >> j) & 1) << 4) - 16);
        target[first + 16 + j] = scale * ((pair >> 4) + (((topHigh >> j) & 1) << 4) - 16);
      }
    }
  },

  /**
   * The value of largest magnitude m becomes code 0. Error at most m/16 (a value of the other sign that large has no
   * code; m/32 elsewhere) plus the rounding of the scale, m/2048. Float32 arithmetic, as llama.cpp's reference.
   */
  encode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const first = sourceOffset + block * 32;
      const at = targetOffset + block * blockBytes;
      const scale = signedExtreme(source, first, 32) / -16;
      writeBlock(source, first, scale, target, at);
    }
  },

  encodeClosely: encodeByScale(levels, blockBytes, writeBlock),
};

function writeBlock(
  source: Float32Array | Float64Array,
  first: number,
  scale: number,
  target: Uint8Array,
  at: number,
): void {
  const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
  writeHalf(target, at, scale);
  let topBits = 0;
  for (let j = 0; j < 16; j++) {
    const low = fiveBitCode(source[first + j] ?? 0, inverse);
    const high = fiveBitCode(source[first + 16 + j] ?? 0, inverse);
    target[at + 6 + j] = (low & 15) | ((high & 15) << 4);
    topBits |= ((low >> 4) << j) | ((high >> 4) << (j + 16));
  }
  for (let byte = 0; byte < 4; byte++) target[at + 2 + byte] = topBits >>> (8 * byte);
}

function fiveBitCode(value: number, inverse: number): number {
  return Math.max(0, Math.min(31, Math.trunc(Math.fround(Math.fround(value * inverse) + 16.5))));
}
