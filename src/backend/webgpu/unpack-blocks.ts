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
type Take<Into> = (source: Uint8Array, at: number, part: number, into: Into) => void;

interface BlockReader {
  readonly scales: Take<TakenBlock>;
  /** Bytes of a block at which the layout's planes lie as they are, those of each part behind those of the one before. */
  readonly planes?: readonly number[];
  /** Bits of such bytes that the layout has the other way round. */
  readonly flipped?: number;
  /** Where planes do not lie so. */
  readonly codes?: Take<Uint8Array>;
}

const byteAt = (source: Uint8Array, at: number): number => source[at] ?? 0;

const halfScale: Take<TakenBlock> = (source, at, _, into) => {
  into.scales[0] = readHalf(source, at);
};

const halfScaleAndBias: Take<TakenBlock> = (source, at, _, into) => {
  into.scales[0] = readHalf(source, at);
  into.biases[0] = readHalf(source, at + 2);
};

/** The six-bit scales and minimums of Q4_K and Q5_K (`format/six-bit-scales.ts`), times d and −dmin. */
const sixBitScales: Take<TakenBlock> = (source, at, subBlock, into) => {
  const low = subBlock & 3;
  const first = byteAt(source, at + 4 + low);
  const second = byteAt(source, at + 8 + low);
  const shared = byteAt(source, at + 12 + low);
  const isLow = subBlock < 4;
  const scale = isLow ? first & 63 : (shared & 15) | ((first >> 6) << 4);
  const minimum = isLow ? second & 63 : (shared >> 4) | ((second >> 6) << 4);
  into.scales[0] = readHalf(source, at) * scale;
  into.biases[0] = -readHalf(source, at + 2) * minimum;
};

const q4_0: BlockReader = { scales: halfScale, planes: [2] };
const q4_1: BlockReader = { scales: halfScaleAndBias, planes: [4] };
const q5_0: BlockReader = { scales: halfScale, planes: [6, 2] };
const q5_1: BlockReader = { scales: halfScaleAndBias, planes: [8, 4] };
const q8_0: BlockReader = { scales: halfScale, planes: [2], flipped: 128 };

const q2_k: BlockReader = {
  scales(source, at, part, into) {
    const [d, dmin] = [readHalf(source, at + 80), readHalf(source, at + 82)];
    for (let half = 0; half < 2; half++) {
      const factors = byteAt(source, at + 2 * part + half);
      into.scales[half] = d * (factors & 15);
      into.biases[half] = -dmin * (factors >> 4);
    }
  },
  codes(source, at, part, codes) {
    const from = at + 16 + (part >> 2) * 32;
    const shift = (2 * part) & 6;
    for (let l = 0; l < 32; l++) codes[l] = (byteAt(source, from + l) >> shift) & 3;
  },
};

const q3_k: BlockReader = {
  scales(source, at, part, into) {
    const d = readHalf(source, at + 108);
    for (let half = 0; half < 2; half++) {
      const subBlock = 2 * part + half;
      const low = (byteAt(source, at + 96 + (subBlock & 7)) >> ((subBlock >> 3) * 4)) & 15;
      const top = (byteAt(source, at + 104 + (subBlock & 3)) >> ((subBlock >> 2) * 2)) & 3;
      into.scales[half] = d * ((low | (top << 4)) - 32);
    }
  },
  codes(source, at, part, codes) {
    const from = at + 32 + (part >> 2) * 32;
    const shift = (2 * part) & 6;
    for (let l = 0; l < 32; l++) {
      const highest = (byteAt(source, at + l) >> part) & 1;
      codes[l] = ((byteAt(source, from + l) >> shift) & 3) | (highest << 2);
    }
  },
};

const q4_k: BlockReader = {
  scales: sixBitScales,
  codes(source, at, part, codes) {
    const from = at + 16 + (part >> 1) * 32;
    const shift = (part & 1) * 4;
    for (let l = 0; l < 32; l++) codes[l] = (byteAt(source, from + l) >> shift) & 15;
  },
};

const q5_k: BlockReader = {
  scales: sixBitScales,
  codes(source, at, part, codes) {
    const from = at + 48 + (part >> 1) * 32;
    const shift = (part & 1) * 4;
    for (let l = 0; l < 32; l++) {
      const top = (byteAt(source, at + 16 + l) >> part) & 1;
      codes[l] = ((byteAt(source, from + l) >> shift) & 15) | (top << 4);
    }
  },
};

const q6_k: BlockReader = {
  scales(source, at, part, into) {
    const d = readHalf(source, at + 208);
    for (let half = 0; half < 2; half++) {
      into.scales[half] = d * ((byteAt(source, at + 192 + 2 * part + half) << 24) >> 24);
    }
  },
  codes(source, at, part, codes) {
    const low = at + (part >> 2) * 64 + (part & 1) * 32;
    const top = at + 128 + (part >> 2) * 32;
    const [lowShift, topShift] = [(part & 2) * 2, (part & 3) * 2];
    for (let l = 0; l < 32; l++) {
      const topBits = (byteAt(source, top + l) >> topShift) & 3;
      codes[l] = ((byteAt(source, low + l) >> lowShift) & 15) | (topBits << 4);
    }
  },
};

const iq4_xs: BlockReader = {
  scales(source, at, part, into) {
    const topScales = byteAt(source, at + 2) | (byteAt(source, at + 3) << 8);
    const low = (byteAt(source, at + 4 + (part >> 1)) >> ((part & 1) * 4)) & 15;
    into.scales[0] = readHalf(source, at) * ((low | (((topScales >> (2 * part)) & 3) << 4)) - 32);
  },
  planes: [8],
};

const mxfp4: BlockReader = {
  scales(source, at, _, into) {
    into.scales[0] = 2 ** (byteAt(source, at) - 128);
  },
  planes: [1],
};

/** A group of 32, 64 or 128 has one scale and bias: scale · (1 + code / 16) + bias. */
const e0m4: BlockReader = {
  scales(source, at, _, into) {
    const scale = readHalf(source, at);
    into.scales[0] = scale / 16;
    into.biases[0] = scale + readHalf(source, at + 2);
  },
  planes: [4],
};

/**
 * For formats whose values are few whole levels times a scale: finds scale and codes of each 16 values in what the format
 * decodes. Any level may be that of the largest value; the first that makes levels of all the others is as good as the
 * file's own.
 */
export function readerByLevels(format: NumberFormat, levels: readonly number[]): BlockReader {
  const values = new Float64Array(format.blockValues);
  const candidates = levels.filter((level) => level !== 0).sort((a, b) => Math.abs(b) - Math.abs(a));
  const zeroCode = Math.max(0, levels.indexOf(0));
  const codeOf = new Int8Array(256).fill(-1);
  levels.forEach((level, code) => {
    if (codeOf[level + 128] === -1) codeOf[level + 128] = code;
  });
  /** False where the values times `inverse` are no levels. */
  const takeCodes = (from: number, inverse: number, codes: Uint8Array, to: number): boolean => {
    for (let index = 0; index < 16; index++) {
      const steps = (values[from + index] ?? 0) * inverse;
      const level = Math.floor(steps + 0.5);
      const code = codeOf[level + 128] ?? -1;
      if (code < 0 || Math.abs(steps - level) > 1e-3) return false;
      codes[to + index] = code;
    }
    return true;
  };
  const scales: Take<TakenBlock> = (source, at, part, into) => {
    if (part === 0) format.decode(source, at, values, 0, 1);
    for (let half = 0; half < 2; half++) {
      const from = part * 32 + half * 16;
      let largest = 0;
      for (let index = from; index < from + 16; index++) {
        const value = values[index] ?? 0;
        if (Math.abs(value) > Math.abs(largest)) largest = value;
      }
      const isFound = (level: number): boolean => takeCodes(from, level / largest, into.codes, half * 16);
      const level = largest === 0 ? undefined : candidates.find(isFound);
      into.scales[half] = level === undefined ? 0 : largest / level;
      if (level === undefined) into.codes.fill(zeroCode, half * 16, half * 16 + 16);
    }
  };
  // Codes come with the scales.
  return { scales, codes: () => {} };
}

/** By name of the file's format; float formats have no blocks. */
export const blockReaders: ReadonlyMap<string, BlockReader> = new Map([
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
