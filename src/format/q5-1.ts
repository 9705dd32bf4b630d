/** Q5_1: 32 codes of 5 bits, a scale and a minimum. */
import { readHalf, writeHalf } from '../base/half.ts';
import type { NumberFormat } from '../format.ts';
import { largest, smallest } from './extremes.ts';
import { encodeByLine, type Line } from './search/line.ts';

// Byte 0: scale d, half. Byte 2: minimum m, half. Bytes 4…7: bit j % 8 of byte 4 + j / 8 is the top bit of value j's
// code. Bytes 8…23: byte 8 + j holds the other four bits of value j (low) and value j + 16 (high).
// Value: d · code + m.
const blockBytes = 24;

export const q5_1: NumberFormat = {
  name: 'q5_1',
  ggufType: 7,
  blockValues: 32,
  blockBytes,

  decode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const at = sourceOffset + block * blockBytes;
      const first = targetOffset + block * 32;
      const scale = readHalf(source, at);
      const minimum = readHalf(source, at + 2);
      const topLow = (source[at + 4] ?? 0) | ((source[at + 5] ?? 0) << 8);
      const topHigh = (source[at + 6] ?? 0) | ((source[at + 7] ?? 0) << 8);
      for (let j = 0; j < 16; j++) {
        const pair = source[at + 8 + j] ?? 0;
        target[first + j] = scale * ((pair & 15) + (((topLow >> j) & 1) << 4)) + minimum;
        target[first + 16 + j] = scale * ((pair >> 4) + (((topHigh >> j) & 1) << 4)) + minimum;
      }
    }
  },

  /**
   * Error at most range/62 plus the rounding of scale and minimum, (range + |minimum|)/2048. Float32 arithmetic, as
   * llama.cpp's reference.
   */
  encode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const first = sourceOffset + block * 32;
      const at = targetOffset + block * blockBytes;
      const minimum = smallest(source, first, 32);
      const scale = Math.fround(Math.fround(largest(source, first, 32) - minimum) / 31);
      writeBlock(source, first, { scale, offset: minimum }, target, at);
    }
  },

  encodeClosely: encodeByLine(31, { blockValues: 32, blockBytes }, writeBlock),
};

function writeBlock(
  source: Float32Array | Float64Array,
  first: number,
  { scale, offset: minimum }: Pick<Line, 'scale' | 'offset'>,
  target: Uint8Array,
  at: number,
): void {
  const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
  writeHalf(target, at, scale);
  writeHalf(target, at + 2, minimum);
  let topBits = 0;
  for (let j = 0; j < 16; j++) {
    const low = fiveBitCode((source[first + j] ?? 0) - minimum, inverse);
    const high = fiveBitCode((source[first + 16 + j] ?? 0) - minimum, inverse);
    target[at + 8 + j] = (low & 15) | ((high & 15) << 4);
    topBits |= ((low >> 4) << j) | ((high >> 4) << (j + 16));
  }
  for (let byte = 0; byte < 4; byte++) target[at + 4 + byte] = topBits >>> (8 * byte);
}

function fiveBitCode(aboveMinimum: number, inverse: number): number {
  const code = Math.fround(Math.fround(aboveMinimum) * inverse);
  return Math.max(0, Math.min(31, Math.trunc(Math.fround(code + 0.5))));
}
