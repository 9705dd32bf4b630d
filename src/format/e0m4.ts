/** E0M4: groups of 32, 64 or 128 codes of 4 bits with a scale and a bias; docs/e0m4.md has all of it. */
import { halfFromFloat, readHalf, writeHalf } from '../base/half.ts';
import type { NumberFormat } from '../format.ts';
import { largest, smallest } from './extremes.ts';
import { nibbleLadder } from './ladder.ts';
import { encodeByLine } from './search/line.ts';

// Byte 0: scale s, half. Byte 2: bias b, half. From byte 4 on 16 bytes for every 32 values: byte j holds value j in its low and
// value j + 16 in its high four bits. Value: s · (1 + code/16) + b.
const headBytes = 4;

/** 1 + 7.5/16, midway between codes 7 and 8; a bias is the middle of the levels less so many scales. */
const middleLevel = 1.46875;

/** Far above the numbers that llama.cpp and its kin give their types. */
const firstGgufType = 0xe0400;

function e0m4(groupValues: 32 | 64 | 128): NumberFormat {
  const blockBytes = headBytes + groupValues / 2;
  return {
    name: `e0m4_${groupValues}`,
    ggufType: firstGgufType + groupValues,
    ggufMark: { key: 'nearfield.e0m4.version', value: 1 },
    blockValues: groupValues,
    blockBytes,

    decode(source, sourceOffset, target, targetOffset, blockCount) {
      for (let block = 0; block < blockCount; block++) {
        const at = sourceOffset + block * blockBytes;
        const step = readHalf(source, at) / 16;
        const origin = 16 * step + readHalf(source, at + 2);
        for (let part = 0; part < groupValues; part += 32) {
          const codes = at + headBytes + part / 2;
          const first = targetOffset + block * groupValues + part;
          for (let j = 0; j < 16; j++) {
            const pair = source[codes + j] ?? 0;
            target[first + j] = step * (pair & 15) + origin;
            target[first + 16 + j] = step * (pair >> 4) + origin;
          }
        }
      }
    },

    /**
     * The levels stand in the middle of sixteen equal parts of the range. Error at most range/32 plus the rounding of scale and
     * bias, (range + |bias|)/2048, where |bias| is at most range plus the largest magnitude.
     */
    encode(source, sourceOffset, target, targetOffset, blockCount) {
      for (let block = 0; block < blockCount; block++) {
        const first = sourceOffset + block * groupValues;
        const low = smallest(source, first, groupValues);
        const range = largest(source, first, groupValues) - low;
        const fit = { scale: range, middle: low + range / 2 };
        writeGroup(source, first, groupValues, fit, target, targetOffset + block * blockBytes);
      }
    },

    encodeClosely: encodeByLine(
      15,
      { blockValues: groupValues, blockBytes },
      (source, first, { scale: step, offset }, target, at) => {
        const fit = { scale: 16 * step, middle: offset + 7.5 * step };
        writeGroup(source, first, groupValues, fit, target, at);
      },
    ),

    ladder: nibbleLadder(headBytes, (source, at) => {
      const step = readHalf(source, at) / 16;
      return { origin: 16 * step + readHalf(source, at + 2), step };
    }),

    e0m4: {
      groupValues,
      read(source, sourceOffset, blockCount, target, firstGroup) {
        for (let block = 0; block < blockCount; block++) {
          const at = sourceOffset + block * blockBytes;
          const group = firstGroup + block;
          target.scales[group] = halfFromFloat(readHalf(source, at));
          target.biases[group] = halfFromFloat(readHalf(source, at + 2));
          target.codes.set(source.subarray(at + headBytes, at + blockBytes), (group * groupValues) / 2);
        }
      },
    },
  };
}

export const e0m4_32: NumberFormat = e0m4(32);
export const e0m4_64: NumberFormat = e0m4(64);
export const e0m4_128: NumberFormat = e0m4(128);

function writeGroup(
  source: Float32Array | Float64Array,
  first: number,
  count: number,
  fit: { readonly scale: number; readonly middle: number },
  target: Uint8Array,
  at: number,
): void {
  const scale = writeHalf(target, at, fit.scale);
  // The bias follows the scale that is stored: what the middle of the levels stands for stays.
  const bias = writeHalf(target, at + 2, fit.middle - middleLevel * scale);
  const inverse = scale === 0 ? 0 : 16 / scale;
  const code = (index: number) =>
    Math.min(15, Math.max(0, Math.round(((source[first + index] ?? 0) - bias) * inverse - 16))) | 0;
  for (let part = 0; part < count; part += 32) {
    for (let j = 0; j < 16; j++) {
      target[at + headBytes + part / 2 + j] = code(part + j) | (code(part + 16 + j) << 4);
    }
  }
}
