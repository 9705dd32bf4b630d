/** An importance matrix: how much each input of a weight matrix matters, from the activations of a calibration text. */
import { NearfieldError } from '../base/error.ts';

/** Of one tensor. */
export interface ImportanceEntry {
  /** Σ x² over the rows seen, for each column, matrix after matrix where experts are stacked. */
  readonly sums: Float32Array;
  /** Rows seen, one number for each matrix, or one for all. */
  readonly counts: Float32Array;
}

export interface ImportanceFile {
  readonly entries: ReadonlyMap<string, ImportanceEntry>;
  /** Texts it was made of. */
  readonly datasets: readonly string[];
  /** Windows of text, and tokens of each (0 where the file does not say). */
  readonly chunkCount: number;
  readonly chunkSize: number;
}

/** The means, ready for encoders. */
export class Importance {
  readonly #entries: ReadonlyMap<string, ImportanceEntry>;

  constructor({ entries }: ImportanceFile) {
    this.#entries = entries;
  }

  has(tensor: string): boolean {
    return this.#entries.has(tensor);
  }

  /**
   * Mean x² for each of a matrix's columns; ones for an expert that no row came to, undefined for a tensor that is not
   * listed.
   */
  of(tensor: string, matrix: number, columns: number): Float32Array | undefined {
    const entry = this.#entries.get(tensor);
    if (!entry) return undefined;
    const { sums, counts } = entry;
    const count = counts[counts.length > 1 ? matrix : 0] ?? 0;
    const first = sums.length > columns ? matrix * columns : 0;
    if (!(count > 0)) return new Float32Array(columns).fill(1);
    return sums.slice(first, first + columns).map((sum) => sum / count);
  }

  /** Throws `bad-argument` where the matrix was made of another model. */
  expectFits(tensor: string, columns: number, matrices: number): void {
    const entry = this.#entries.get(tensor);
    if (!entry || entry.sums.length === columns * matrices) return;
    throw new NearfieldError(
      'bad-argument',
      `The importance matrix has ${entry.sums.length} numbers for ${tensor}, which has ${columns * matrices} columns: it is of another model`,
    );
  }
}
