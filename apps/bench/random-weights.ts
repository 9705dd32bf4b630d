/**
 * Random weights in any number format, far faster than encoding each: normal deviates are encoded once into a pool, and a
 * large tensor is pieced together from runs of that pool. Same seed, same bytes.
 */
import { NearfieldError } from '../../src/base/error.ts';
import { philox } from '../../src/base/random.ts';
import { encodeRow, type NumberFormat, rowBytes } from '../../src/format.ts';

/** A multiple of every format's block; a tensor of at most so many values repeats none. */
const poolValues = 2 ** 18;
/** Long enough to copy fast. */
const runBytes = 256;
/** Runs that a row should have, and the fewest with which no two rows of a large matrix are alike. */
const runsPerRow = 4;
const fewestRuns = 3;

export class RandomStream {
  readonly #seed: number;
  #block: readonly number[] = [];
  #taken = 4;
  #counter = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** Unsigned 32 bits. */
  word(): number {
    if (this.#taken === 4) {
      this.#block = philox([this.#counter++, 0, 0, 0], this.#seed >>> 0, Math.floor(this.#seed / 2 ** 32));
      this.#taken = 0;
    }
    return this.#block[this.#taken++] ?? 0;
  }

  /** An integer from 0 to `limit` - 1. */
  below(limit: number): number {
    return Math.floor((this.word() / 2 ** 32) * limit);
  }

  /** Independent values of mean 0 and standard deviation 1 (Box and Muller 1958). */
  normals(count: number): Float32Array {
    const values = new Float32Array(count);
    for (let i = 0; i < count; i += 2) {
      const radius = Math.sqrt(-2 * Math.log((this.word() + 1) / 2 ** 32));
      const angle = (this.word() / 2 ** 32) * 2 * Math.PI;
      values[i] = radius * Math.cos(angle);
      if (i + 1 < count) values[i + 1] = radius * Math.sin(angle);
    }
    return values;
  }
}

export interface RandomTensor {
  readonly format: NumberFormat;
  readonly shape: readonly number[];
  readonly mean: number;
  readonly deviation: number;
}

/** Fills tensors one after the other; keeps a pool for each format and deviation it has met. */
export class RandomWeights {
  readonly #random: RandomStream;
  readonly #pools = new Map<string, Uint8Array>();

  constructor(seed: number) {
    this.#random = new RandomStream(seed);
  }

  /** The tensor's bytes in pieces of at most 4 MiB; each is valid until the next is asked for. */
  *pieces(tensor: RandomTensor): Generator<Uint8Array> {
    const { format, shape } = tensor;
    const valueCount = shape.reduce((product, size) => product * size, 1);
    const rowBlocks = (shape.at(-1) ?? 1) / format.blockValues;
    if (valueCount <= poolValues || rowBlocks < fewestRuns) {
      for (let left = valueCount; left > 0; left -= poolValues) {
        yield this.#encode(tensor, Math.min(left, poolValues));
      }
      return;
    }
    const pool = this.#pool(tensor);
    const { blockBytes } = format;
    const poolBlocks = pool.length / blockBytes;
    const runBlocks = Math.max(1, Math.floor(Math.min(runBytes / blockBytes, rowBlocks / runsPerRow)));
    const piece = new Uint8Array(Math.floor(2 ** 22 / (runBlocks * blockBytes)) * runBlocks * blockBytes);
    for (let left = rowBytes(format, valueCount); left > 0; left -= piece.length) {
      const length = Math.min(left, piece.length);
      for (let at = 0; at < length; at += runBlocks * blockBytes) {
        const start = this.#random.below(poolBlocks - runBlocks + 1) * blockBytes;
        piece.set(pool.subarray(start, start + Math.min(runBlocks * blockBytes, length - at)), at);
      }
      yield piece.subarray(0, length);
    }
  }

  #pool(tensor: RandomTensor): Uint8Array {
    const key = `${tensor.format.name} ${tensor.mean} ${tensor.deviation}`;
    const pool = this.#pools.get(key) ?? this.#encode(tensor, poolValues);
    this.#pools.set(key, pool);
    return pool;
  }

  #encode({ format, mean, deviation }: RandomTensor, valueCount: number): Uint8Array {
    const values = this.#random.normals(valueCount);
    for (let i = 0; i < valueCount; i++) values[i] = mean + deviation * (values[i] ?? 0);
    const bytes = new Uint8Array(rowBytes(format, valueCount));
    encodeRow(format, values, 0, bytes, 0, valueCount);
    return bytes;
  }
}

/** The first of the formats whose blocks fill rows of `rowValues` values and that can be written. */
export function formatForRow(formats: readonly NumberFormat[], rowValues: number): NumberFormat {
  const format = formats.find(({ blockValues, encode }) => encode && rowValues % blockValues === 0);
  if (format) return format;
  const names = formats.map(({ name }) => name).join(', ');
  throw new NearfieldError('bad-argument', `Rows of ${rowValues} values can be written in none of: ${names}`);
}
