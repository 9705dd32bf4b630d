/** Q4_0: 32 codes of 4 bits around 8 and one scale. */
import { halfFromFloat, readHalf, writeHalf } from '../base/half.ts';
import type { NumberFormat } from '../format.ts';
import { signedExtreme } from './extremes.ts';
import { nibbleLadder } from './ladder.ts';
import { integerLevels } from './search/levels.ts';
import { encodeByScale } from './search/scale.ts';

// Byte 0: scale d, half. Bytes 2…17: byte 2 + j holds value j in its low and value j + 16 in its high four bits.
// Value: d · (code − 8).
const blockBytes = 18;
const levels = integerLevels(-8, 7);

export const q4_0: NumberFormat = {
  name: 'q4_0',
  ggufType: 2,
  blockValues: 32,
  blockBytes,

  decode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const at = sourceOffset + block * blockBytes;
      const first = targetOffset + block * 32;
      const scale = readHalf(source, at);
      for (let j = 0; j < 16; j++) {
        const pair = source[at + 2 + j] ?? 0;
        target[first + j] = scale * ((pair & 15) - 8);
        target[first + 16 + j] = scale * ((pair >> 4) - 8);
      }
    }
  },

  /**
   * The value of largest magnitude m becomes code 0. Error at most m/8 (a value of the other sign that large has no
   * code; m/16 elsewhere) plus the rounding of the scale, m/2048. Float32 arithmetic, as llama.cpp's reference.
   */
  encode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const first = sourceOffset + block * 32;
      const at = targetOffset + block * blockBytes;
      const scale = signedExtreme(source, first, 32) / -8;
      writeBlock(source, first, scale, target, at);
    }
  },

  e0m4: {
    groupValues: 32,
    biasPerScale: -1.5,
    read(source, sourceOffset, blockCount, target, firstGroup) {
      for (let block = 0; block < blockCount; block++) {
        const at = sourceOffset + block * blockBytes;
        const group = firstGroup + block;
        target.scales[group] = halfFromFloat(16 * readHalf(source, at));
        target.codes.set(source.subarray(at + 2, at + blockBytes), group * 16);
      }
    },
  },

  encodeClosely: encodeByScale(levels, blockBytes, writeBlock),

  ladder: nibbleLadder(2, (source, at) => {
    const step = readHalf(source, at);
    return { origin: -8 * step, step };
  }),
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
  for (let j = 0; j < 16; j++) {
    const low = fourBitCode(source[first + j] ?? 0, inverse);
    const high = fourBitCode(source[first + 16 + j] ?? 0, inverse);
    target[at + 2 + j] = low | (high << 4);
  }
}

function fourBitCode(value: number, inverse: number): number {
  return Math.max(0, Math.min(15, Math.trunc(Math.fround(Math.fround(value * inverse) + 8.5))));
}
