/**
 * Error feedback as in GPTQ (Frantar et al. 2022): a row's values are rounded one after the other, and what one lost is made
 * good by those that are still to come, in the proportion in which their inputs go together. With the covariance
 * H = XᵀX of the inputs and H⁻¹ = UᵀU, U upper triangular: after value j, value k > j loses (v_j − v̂_j) · U_jk / U_jj.
 */
import { NearfieldError } from '../base/error.ts';
import { canShareMemory } from '../base/platform.ts';
import type { NumberFormat } from '../format.ts';

/** Added to the diagonal of H, as a share of its mean: what makes columns that were hardly seen harmless. */
const damping = 0.01;

/** Σ x xᵀ over rows of `columns` values; of the symmetric matrix only what is on and below the diagonal is kept right. */
export class Covariance {
  readonly columns: number;
  readonly #sums: Float64Array;

  constructor(columns: number) {
    this.columns = columns;
    this.#sums = new Float64Array(columns * columns);
  }

  /** Four rows at a time: the sums are far larger than the rows, and to fetch them is what takes time. */
  add(rows: Float32Array | Float64Array): void {
    const { columns } = this;
    const sums = this.#sums;
    const x = new Float64Array(Math.ceil(rows.length / (4 * columns)) * 4 * columns);
    x.set(rows);
    for (let a = 0; a < x.length; a += 4 * columns) {
      const [b, c, d] = [a + columns, a + 2 * columns, a + 3 * columns];
      for (let i = 0; i < columns; i++) {
        const [valueA, valueB, valueC, valueD] = [x[a + i] ?? 0, x[b + i] ?? 0, x[c + i] ?? 0, x[d + i] ?? 0];
        const line = i * columns;
        for (let k = 0; k <= i; k++) {
          sums[line + k] =
            (sums[line + k] ?? 0) +
            (valueA * (x[a + k] ?? 0) + valueB * (x[b + k] ?? 0)) +
            (valueC * (x[c + k] ?? 0) + valueD * (x[d + k] ?? 0));
        }
      }
    }
  }

  /**
   * U, row after row, its entries divided by the diagonal of their row: what remains to be multiplied by is the error. In
   * memory that threads share where the host can. Throws `bad-argument` where no row was seen.
   */
  feedback(): Float32Array {
    const { columns } = this;
    const sums = this.#sums;
    let trace = 0;
    for (let i = 0; i < columns; i++) trace += sums[i * columns + i] ?? 0;
    if (!(trace > 0))
      throw new NearfieldError('bad-argument', 'No calibration row reached a matrix; take a longer text');
    // H with its columns in reverse order is M Mᵀ. Reversed again, H = R Rᵀ with R upper triangular, and U = R⁻¹.
    const reversed = (i: number, k: number): number => {
      const [a, b] = [columns - 1 - i, columns - 1 - k];
      const value = sums[Math.max(a, b) * columns + Math.min(a, b)] ?? 0;
      return i === k ? value + (damping * trace) / columns : value;
    };
    const inverse = invertLower(cholesky(columns, reversed), columns);
    const byteLength = 4 * columns * columns;
    const factor = new Float32Array(
      canShareMemory() ? new SharedArrayBuffer(byteLength) : new ArrayBuffer(byteLength),
    );
    for (let i = 0; i < columns; i++) {
      const line = (columns - 1 - i) * columns;
      const diagonal = inverse[line + columns - 1 - i] ?? 1;
      for (let k = i; k < columns; k++) {
        factor[i * columns + k] = (inverse[line + columns - 1 - k] ?? 0) / diagonal;
      }
    }
    return factor;
  }
}

/** M of A = M Mᵀ, lower triangular. */
function cholesky(size: number, entry: (i: number, k: number) => number): Float64Array {
  const lower = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    const row = i * size;
    for (let k = 0; k <= i; k++) {
      const other = k * size;
      let sum = entry(i, k);
      for (let j = 0; j < k; j++) sum -= (lower[row + j] ?? 0) * (lower[other + j] ?? 0);
      lower[row + k] = i === k ? Math.sqrt(Math.max(sum, Number.MIN_VALUE)) : sum / (lower[other + k] ?? 1);
    }
  }
  return lower;
}

/** The inverse of a lower triangular matrix, row by row: row i of the inverse from the rows before it. */
function invertLower(lower: Float64Array, size: number): Float64Array {
  const inverse = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    const row = i * size;
    const diagonal = lower[row + i] ?? 1;
    for (let j = 0; j < i; j++) {
      const factor = lower[row + j] ?? 0;
      if (factor === 0) continue;
      for (let k = 0; k <= j; k++) {
        inverse[row + k] = (inverse[row + k] ?? 0) - factor * (inverse[j * size + k] ?? 0);
      }
    }
    for (let k = 0; k < i; k++) inverse[row + k] = (inverse[row + k] ?? 0) / diagonal;
    inverse[row + i] = 1 / diagonal;
  }
  return inverse;
}

/** Encodes a row; `format` has a ladder. Scales are those of its own search over what the values have become by then. */
export function encodeRowWithFeedback(
  format: NumberFormat,
  row: Float32Array,
  target: Uint8Array,
  targetOffset: number,
  feedback: Float32Array,
  importance: Float32Array | undefined,
): void {
  const { blockValues, blockBytes, ladder } = format;
  const encode = format.encodeClosely ?? format.encode;
  if (!ladder || !encode) throw new NearfieldError('internal', `${format.name} has no even levels`);
  const columns = row.length;
  const values = Float64Array.from(row);
  const codes = new Uint8Array(blockValues);
  for (let block = 0; block * blockValues < columns; block++) {
    const first = block * blockValues;
    const at = targetOffset + block * blockBytes;
    encode(values, first, target, at, 1, importance?.subarray(first, first + blockValues));
    const { origin, step } = ladder.read(target, at);
    for (let i = 0; i < blockValues; i++) {
      const j = first + i;
      const value = values[j] ?? 0;
      const code =
        step === 0 ? 0 : Math.max(0, Math.min(ladder.largestCode, Math.round((value - origin) / step)));
      codes[i] = code;
      const error = value - origin - step * code;
      const line = j * columns;
      for (let k = j + 1; k < columns; k++) values[k] = (values[k] ?? 0) - error * (feedback[line + k] ?? 0);
    }
    ladder.writeCodes(target, at, codes);
  }
}
