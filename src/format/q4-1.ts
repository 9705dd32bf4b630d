/** Q4_1: 32 codes of 4 bits, a scale and a minimum. */
import { readHalf, writeHalf } from '../base/half.ts';
import type { NumberFormat } from '../format.ts';
import { putAffineGroup } from './e0m4-reading.ts';
import { largest, smallest } from './extremes.ts';
import { nibbleLadder } from './ladder.ts';
import { encodeByLine, type Line } from './search/line.ts';

// Byte 0: scale d, half. Byte 2: minimum m, half. Bytes 4…19: byte 4 + j holds value j in its low and value j + 16 in
// its high four bits. Value: d · code + m.
const blockBytes = 20;

export const q4_1: NumberFormat = {
  name: 'q4_1',
  ggufType: 3,
  blockValues: 32,
  blockBytes,

  decode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const at = sourceOffset + block * blockBytes;
      const first = targetOffset + block * 32;
      const scale = readHalf(source, at);
      const minimum = readHalf(source, at + 2);
      for (let j = 0; j < 16; j++) {
        const pair = source[at + 4 + j] ?? 0;
        target[first + j] = scale * (pair & 15) + minimum;
        target[first + 16 + j] = scale * (pair >> 4) + minimum;
      }
    }
  },

  /**
   * Error at most range/30 plus the rounding of scale and minimum, (range + |minimum|)/2048. Float32 arithmetic, as
   * llama.cpp's reference.
   */
  encode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const first = sourceOffset + block * 32;
      const at = targetOffset + block * blockBytes;
      const minimum = smallest(source, first, 32);
      const scale = Math.fround(Math.fround(largest(source, first, 32) - minimum) / 15);
      writeBlock(source, first, { scale, offset: minimum }, target, at);
    }
  },

  e0m4: {
    groupValues: 32,
    read(source, sourceOffset, blockCount, target, firstGroup) {
      for (let block = 0; block < blockCount; block++) {
        const at = sourceOffset + block * blockBytes;
        const group = firstGroup + block;
        putAffineGroup(target, group, readHalf(source, at), readHalf(source, at + 2));
        target.codes.set(source.subarray(at + 4, at + blockBytes), group * 16);
      }
    },
  },

  encodeClosely: encodeByLine(15, { blockValues: 32, blockBytes }, writeBlock),

  ladder: nibbleLadder(4, (source, at) => ({ origin: readHalf(source, at + 2), step: readHalf(source, at) })),
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
  for (let j = 0; j < 16; j++) {
    const low = fourBitCode((source[first + j] ?? 0) - minimum, inverse);
    const high = fourBitCode((source[first + 16 + j] ?? 0) - minimum, inverse);
    target[at + 4 + j] = low | (high << 4);
  }
}

function fourBitCode(aboveMinimum: number, inverse: number): number {
  const code = Math.fround(Math.fround(aboveMinimum) * inverse);
  return Math.max(0, Math.min(15, Math.trunc(Math.fround(code + 0.5))));
}
