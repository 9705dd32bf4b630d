/** Blocks of the files taken apart into codes, scales and biases, as the GPU's layouts keep them. Exact in float64. */
import { readHalf } from '../../base/half.ts';
import type { NumberFormat } from '../../format.ts';

/** 32 values of a row; reused from block to block. */
export interface TakenBlock {
  readonly codes: Uint8Array;
  /** One of all, or one of each 16. */
  readonly scales: Float64Array;
  readonly biases: Float64Array;
}

/** `part` counts the 32 values within a block of the file that begins at `at`. */
export type TakeBlock = (source: Uint8Array, at: number, part: number, into: TakenBlock) => void;

const byteAt = (source: Uint8Array, at: number): number => source[at] ?? 0;

/** Byte j has code j low and code 16 + j high. */
function takeNibbles(source: Uint8Array, at: number, codes: Uint8Array): void {
  for (let j = 0; j < 16; j++) {
    const pair = byteAt(source, at + j);
    codes[j] = pair & 15;
    codes[16 + j] = pair >> 4;
  }
}

/** Bit j of 32 is the fifth bit of code j. */
function takeFifthBits(source: Uint8Array, at: number, codes: Uint8Array): void {
  for (let j = 0; j < 32; j++) {
    codes[j] = (codes[j] ?? 0) | (((byteAt(source, at + (j >> 3)) >> (j & 7)) & 1) << 4);
  }
}

/** The six-bit scales and minimums of Q4_K and Q5_K (`format/six-bit-scales.ts`), times d and −dmin. */
function takeSixBitScales(source: Uint8Array, at: number, subBlock: number, into: TakenBlock): void {
  const low = subBlock & 3;
  const first = byteAt(source, at + 4 + low);
  const second = byteAt(source, at + 8 + low);
  const shared = byteAt(source, at + 12 + low);
  const isLow = subBlock < 4;
  const scale = isLow ? first & 63 : (shared & 15) | ((first >> 6) << 4);
  const minimum = isLow ? second & 63 : (shared >> 4) | ((second >> 6) << 4);
  into.scales[0] = readHalf(source, at) * scale;
  into.biases[0] = -readHalf(source, at + 2) * minimum;
}

const q4_0: TakeBlock = (source, at, _, into) => {
  into.scales[0] = readHalf(source, at);
  takeNibbles(source, at + 2, into.codes);
};

const q4_1: TakeBlock = (source, at, _, into) => {
  into.scales[0] = readHalf(source, at);
  into.biases[0] = readHalf(source, at + 2);
  takeNibbles(source, at + 4, into.codes);
};

const q5_0: TakeBlock = (source, at, _, into) => {
  into.scales[0] = readHalf(source, at);
  takeNibbles(source, at + 6, into.codes);
  takeFifthBits(source, at + 2, into.codes);
};

const q5_1: TakeBlock = (source, at, _, into) => {
  into.scales[0] = readHalf(source, at);
  into.biases[0] = readHalf(source, at + 2);
  takeNibbles(source, at + 8, into.codes);
  takeFifthBits(source, at + 4, into.codes);
};

const q8_0: TakeBlock = (source, at, _, into) => {
  into.scales[0] = readHalf(source, at);
  for (let j = 0; j < 32; j++) into.codes[j] = byteAt(source, at + 2 + j) ^ 128;
};

const q2_k: TakeBlock = (source, at, part, into) => {
  const [d, dmin] = [readHalf(source, at + 80), readHalf(source, at + 82)];
  for (let half = 0; half < 2; half++) {
    const subBlock = 2 * part + half;
    const factors = byteAt(source, at + subBlock);
    into.scales[half] = d * (factors & 15);
    into.biases[half] = -dmin * (factors >> 4);
    const codes = at + 16 + (subBlock >> 3) * 32 + half * 16;
    for (let l = 0; l < 16; l++) {
      into.codes[half * 16 + l] = (byteAt(source, codes + l) >> (subBlock & 6)) & 3;
    }
  }
};

const q3_k: TakeBlock = (source, at, part, into) => {
  const d = readHalf(source, at + 108);
  for (let half = 0; half < 2; half++) {
    const subBlock = 2 * part + half;
    const low = (byteAt(source, at + 96 + (subBlock & 7)) >> ((subBlock >> 3) * 4)) & 15;
    const top = (byteAt(source, at + 104 + (subBlock & 3)) >> ((subBlock >> 2) * 2)) & 3;
    into.scales[half] = d * ((low | (top << 4)) - 32);
    const codes = at + 32 + (subBlock >> 3) * 32 + half * 16;
    const topBits = at + half * 16;
    for (let l = 0; l < 16; l++) {
      const highest = (byteAt(source, topBits + l) >> (subBlock >> 1)) & 1;
      into.codes[half * 16 + l] = ((byteAt(source, codes + l) >> (subBlock & 6)) & 3) | (highest << 2);
    }
  }
};

const q4_k: TakeBlock = (source, at, part, into) => {
  takeSixBitScales(source, at, part, into);
  const codes = at + 16 + (part >> 1) * 32;
  const shift = (part & 1) * 4;
  for (let l = 0; l < 32; l++) into.codes[l] = (byteAt(source, codes + l) >> shift) & 15;
};

const q5_k: TakeBlock = (source, at, part, into) => {
  takeSixBitScales(source, at, part, into);
  const codes = at + 48 + (part >> 1) * 32;
  const shift = (part & 1) * 4;
  for (let l = 0; l < 32; l++) {
    const top = (byteAt(source, at + 16 + l) >> part) & 1;
    into.codes[l] = ((byteAt(source, codes + l) >> shift) & 15) | (top << 4);
  }
};

const q6_k: TakeBlock = (source, at, part, into) => {
  const d = readHalf(source, at + 208);
  const low = at + (part >> 2) * 64 + (part & 1) * 32;
  const top = at + 128 + (part >> 2) * 32;
  for (let half = 0; half < 2; half++) {
    into.scales[half] = d * ((byteAt(source, at + 192 + 2 * part + half) << 24) >> 24);
  }
  for (let l = 0; l < 32; l++) {
    const lowBits = (byteAt(source, low + l) >> ((part & 2) * 2)) & 15;
    const topBits = (byteAt(source, top + l) >> ((part & 3) * 2)) & 3;
    into.codes[l] = lowBits | (topBits << 4);
  }
};

const iq4_xs: TakeBlock = (source, at, part, into) => {
  const topScales = byteAt(source, at + 2) | (byteAt(source, at + 3) << 8);
  const low = (byteAt(source, at + 4 + (part >> 1)) >> ((part & 1) * 4)) & 15;
  into.scales[0] = readHalf(source, at) * ((low | (((topScales >> (2 * part)) & 3) << 4)) - 32);
  takeNibbles(source, at + 8 + part * 16, into.codes);
};

const mxfp4: TakeBlock = (source, at, _, into) => {
  into.scales[0] = 2 ** (byteAt(source, at) - 128);
  takeNibbles(source, at + 1, into.codes);
};

/** A group of 32, 64 or 128 has one scale and bias: scale · (1 + code / 16) + bias. */
const e0m4: TakeBlock = (source, at, part, into) => {
  const scale = readHalf(source, at);
  into.scales[0] = scale / 16;
  into.biases[0] = scale + readHalf(source, at + 2);
  takeNibbles(source, at + 4 + part * 16, into.codes);
};

/**
 * For formats whose values are few levels times a scale: finds scale and codes of each 16 values in what the format
 * decodes. Any level may be that of the largest value; the first that makes levels of all the others is as good as the
 * file's own.
 */
export function takerByLevels(format: NumberFormat, levels: readonly number[]): TakeBlock {
  const values = new Float64Array(format.blockValues);
  const candidates = levels.filter((level) => level !== 0).sort((a, b) => Math.abs(b) - Math.abs(a));
  const codeOf = (value: number): number => levels.findIndex((level) => Math.abs(level - value) < 1e-3);
  return (source, at, part, into) => {
    if (part === 0) format.decode(source, at, values, 0, 1);
    for (let half = 0; half < 2; half++) {
      const group = values.subarray(part * 32 + half * 16, part * 32 + half * 16 + 16);
      const largest = group.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
      const level = candidates.find((one) => group.every((value) => codeOf((value / largest) * one) >= 0));
      into.scales[half] = level === undefined ? 0 : largest / level;
      group.forEach((value, index) => {
        into.codes[half * 16 + index] = Math.max(
          0,
          codeOf(level === undefined ? 0 : (value / largest) * level),
        );
      });
    }
  };
}

/** By name of the file's format; float formats have no blocks. */
export const blockTakers: ReadonlyMap<string, TakeBlock> = new Map([
  ['q4_0', q4_0],
  ['q4_1', q4_1],
  ['q5_0', q5_0],
  ['q5_1', q5_1],
  ['q8_0', q8_0],
  ['q2_k', q2_k],
  ['q3_k', q3_k],
  ['q4_k', q4_k],
  ['q5_k', q5_k],
  ['q6_k', q6_k],
  ['iq4_nl', q4_0],
  ['iq4_xs', iq4_xs],
  ['mxfp4', mxfp4],
  ['e0m4_32', e0m4],
  ['e0m4_64', e0m4],
  ['e0m4_128', e0m4],
]);
