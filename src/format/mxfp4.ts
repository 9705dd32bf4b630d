/** MXFP4 of the OCP Microscaling formats: 32 floats of 4 bits (E2M1) and one power of two (E8M0). */
import type { NumberFormat } from '../format.ts';
import { signedExtreme } from './extremes.ts';
import { WeightedValues } from './search/weighted-values.ts';

// Byte 0: exponent e. Bytes 1…16: byte 1 + j holds value j in its low and value j + 16 in its high four bits.
// Value: 2^(e − 128) · level, where a level is twice the E2M1 number of the code. The specification reserves e = 255
// for NaN; llama.cpp gives it no meaning of its own, and neither does this decoder.
const blockBytes = 17;

/** Twice the E2M1 numbers: sign, two bits of exponent, one of mantissa. */
export const e2m1Levels: Int8Array = Int8Array.of(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);

const scales = Float64Array.from({ length: 256 }, (_, exponent) => 2 ** (exponent - 128));

export const mxfp4: NumberFormat = {
  name: 'mxfp4',
  ggufType: 39,
  blockValues: 32,
  blockBytes,

  decode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const at = sourceOffset + block * blockBytes;
      const first = targetOffset + block * 32;
      const scale = scales[source[at] ?? 0] ?? 0;
      for (let j = 0; j < 16; j++) {
        const pair = source[at + 1 + j] ?? 0;
        target[first + j] = scale * (e2m1Levels[pair & 15] ?? 0);
        target[first + 16 + j] = scale * (e2m1Levels[pair >> 4] ?? 0);
      }
    }
  },

  /** The specification's scale: the exponent of the largest magnitude m, less 2. Error at most m/4, or 2^-129 for tiny m. */
  encode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const first = sourceOffset + block * 32;
      const at = targetOffset + block * blockBytes;
      const extreme = Math.abs(signedExtreme(source, first, 32));
      writeBlock(source, first, specifiedExponent(extreme), target, at);
    }
  },

  /** Of the specification's exponent and its neighbours the one that leaves least error. */
  encodeClosely(source, sourceOffset, target, targetOffset, blockCount, importance) {
    const run = { source, sourceOffset, blockCount, importance };
    const values = new WeightedValues(32);
    for (let block = 0; block < blockCount; block++) {
      values.load(run, block);
      const middle = specifiedExponent(Math.abs(signedExtreme(values.values, 0, 32)));
      let [best, least] = [middle, Number.POSITIVE_INFINITY];
      for (let exponent = Math.max(0, middle - 1); exponent <= Math.min(254, middle + 1); exponent++) {
        const error = errorWith(values, scales[exponent] ?? 1);
        if (error < least) [best, least] = [exponent, error];
      }
      const first = sourceOffset + block * 32;
      writeBlock(source, first, best, target, targetOffset + block * blockBytes);
    }
  },
};

function specifiedExponent(extreme: number): number {
  return Math.min(254, Math.max(0, Math.floor(Math.log2(extreme)) - 2 + 127));
}

function writeBlock(
  source: Float32Array | Float64Array,
  first: number,
  exponent: number,
  target: Uint8Array,
  at: number,
): void {
  const inverse = 1 / (scales[exponent] ?? 1);
  target[at] = exponent;
  for (let j = 0; j < 16; j++) {
    const low = nearestCode((source[first + j] ?? 0) * inverse);
    const high = nearestCode((source[first + 16 + j] ?? 0) * inverse);
    target[at + 1 + j] = low | (high << 4);
  }
}

function errorWith({ values, weights }: WeightedValues, scale: number): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? 0;
    const error = value - scale * (e2m1Levels[nearestCode(value / scale)] ?? 0);
    sum += (weights[i] ?? 0) * error * error;
  }
  return sum;
}

/** Halfway, the smaller magnitude; zero is always code 0. */
function nearestCode(value: number): number {
  const magnitude = Math.abs(value);
  let code = 0;
  while (code < 7 && 2 * magnitude > (e2m1Levels[code] ?? 0) + (e2m1Levels[code + 1] ?? 0)) code++;
  return value < 0 && code > 0 ? code | 8 : code;
}
