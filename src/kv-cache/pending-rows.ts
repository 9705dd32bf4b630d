/** The pending rows of a sequence: a chain of any length, or a tree of at most 64 rows with a mask of ancestors each. */

/** Rows a tree may have: the bits of the two mask words. */
export const treeRowLimit = 64;

export class PendingRows {
  #count = 0;
  /** Leading rows that are each the child of the row before. */
  #chained = 0;
  /** Per row below `treeRowLimit`: its parent (-1: the prefix), and the bits of its ancestors and itself. */
  readonly #parents = new Int32Array(treeRowLimit);
  readonly #low = new Int32Array(treeRowLimit);
  readonly #high = new Int32Array(treeRowLimit);

  get count(): number {
    return this.#count;
  }

  get isChain(): boolean {
    return this.#chained === this.#count;
  }

  /** Whether a row may be added under `parent` (-1: the prefix). */
  admits(parent: number): boolean {
    return (this.isChain && parent === this.#count - 1) || this.#count < treeRowLimit;
  }

  add(parent: number): void {
    const row = this.#count;
    if (this.isChain && parent === row - 1) this.#chained++;
    if (row < treeRowLimit) {
      this.#parents[row] = parent;
      this.#low[row] = (parent < 0 ? 0 : (this.#low[parent] ?? 0)) | (row < 32 ? 1 << row : 0);
      this.#high[row] = (parent < 0 ? 0 : (this.#high[parent] ?? 0)) | (row < 32 ? 0 : 1 << (row - 32));
    }
    this.#count++;
  }

  /** Forgets the rows from `count` on. */
  truncate(count: number): void {
    this.#count = count;
    this.#chained = Math.min(this.#chained, count);
  }

  /** True for the child of `parent`. */
  isChild(row: number, parent: number): boolean {
    return this.parentOf(row) === parent;
  }

  /** -1 for a child of the prefix, NaN for what is no row. */
  parentOf(row: number): number {
    if (!Number.isInteger(row) || row < 0 || row >= this.#count) return Number.NaN;
    return row < this.#chained ? row - 1 : (this.#parents[row] ?? Number.NaN);
  }

  /** How many rows from the first pending one on the row sees without a gap; what it sees beyond is in `maskLow`, `maskHigh`. */
  leading(row: number): number {
    if (row < this.#chained) return row + 1;
    const low = this.#low[row] ?? 0;
    return low === -1 ? 32 + trailingOnes(this.#high[row] ?? 0) : trailingOnes(low);
  }

  maskLow(row: number): number {
    const leading = this.leading(row);
    return leading > row || leading >= 32 ? 0 : (this.#low[row] ?? 0) & (-1 << leading);
  }

  maskHigh(row: number): number {
    const leading = this.leading(row);
    if (leading > row) return 0;
    const high = this.#high[row] ?? 0;
    return leading <= 32 ? high : high & (-1 << (leading - 32));
  }
}

function trailingOnes(word: number): number {
  const firstZero = ~word & -~word;
  return firstZero === 0 ? 32 : 31 - Math.clz32(firstZero);
}
