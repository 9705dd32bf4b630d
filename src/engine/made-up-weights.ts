/** A checkpoint without a file: weights of the wanted types with made-up values, for measuring speed. */
import { known } from '../base/error.ts';
import { uniformAt } from '../base/random.ts';
import type { Checkpoint, Metadata, TensorEntry } from '../checkpoint.ts';
import { encodeRow, type NumberFormat, rowBytes } from '../format.ts';
import type { WeightValue } from '../graph.ts';

/**
 * Whole blocks of every format; repeated over a tensor, which costs a machine what any other values would. A multiple of 65,
 * so that many rows of a matrix differ, and experts are chosen as if at random.
 */
const poolValues = 65 << 8;
/** Matrices and what they multiply stay of moderate size, so that no kernel meets infinities or subnormals. */
const matrixDeviation = 0.02;

/** Reads of any tensor give the same few blocks over and over. A tensor has as many rows as its weights need. */
export function madeUpCheckpoint(weights: readonly WeightValue[]): Checkpoint {
  const tensors = new Map<string, TensorEntry>();
  let byteOffset = 0;
  for (const { tensor, firstRow, rowCount, type } of weights) {
    const rows = Math.max(firstRow + rowCount, tensors.get(tensor)?.shape[0] ?? 0);
    const { format } = type;
    const [outermost, ...inner]: readonly number[] = type.shape;
    const rowValues = inner.reduce((product, size) => product * size, outermost ?? 0) / rowCount;
    // A vector may be a matrix in the file, and a matrix of one row a vector.
    const shape = outermost === rowCount ? [rows, ...inner] : rowValues === 1 ? [rows] : [rows, rowValues];
    const byteLength = rowBytes(format, rows * rowValues);
    tensors.set(tensor, { name: tensor, format, shape, byteLength, part: 0, byteOffset });
    byteOffset += byteLength;
  }
  const pools = new Map<string, Uint8Array>();
  return {
    name: 'made-up weights',
    container: 'none',
    metadata: noMetadata,
    tensors,
    parts: [],
    byteLength: byteOffset,
    async read({ format, shape }, offset, target) {
      const isMatrix = shape.length > 1;
      const key = `${format.name} ${isMatrix}`;
      const pool = pools.get(key) ?? makePool(format, isMatrix);
      pools.set(key, pool);
      repeat(pool, offset % pool.length, target);
    },
    async close() {},
  };
}

/** Vectors are norms and biases: about 1. A format without an encoder gets zeros. */
function makePool(format: NumberFormat, isMatrix: boolean): Uint8Array {
  const bytes = new Uint8Array(rowBytes(format, poolValues));
  if (!format.encode) return bytes;
  const values = Float32Array.from({ length: poolValues }, (_, index) => {
    const uniform = 2 * uniformAt(1, index) - 1;
    return isMatrix ? uniform * Math.sqrt(3) * matrixDeviation : 1 + uniform / 10;
  });
  encodeRow(format, values, 0, bytes, 0, poolValues);
  return bytes;
}

function repeat(pool: Uint8Array, start: number, target: Uint8Array): void {
  let from = start;
  for (let done = 0; done < target.length; from = 0) {
    const piece = pool.subarray(from, from + Math.min(pool.length - from, target.length - done));
    target.set(piece, done);
    done += piece.length;
  }
}

const noMetadata: Metadata = {
  entries: new Map(),
  has: () => false,
  string: (_, fallback) => known(fallback, 'metadata'),
  number: (_, fallback) => known(fallback, 'metadata'),
  boolean: (_, fallback) => known(fallback, 'metadata'),
  strings: () => [],
  numbers: () => undefined,
};
