/**
 * The passes of a step: chunk by chunk, and within a chunk as many passes of the head as the selection needs. One is made
 * for all steps and stands at one pass at a time.
 */
import type { AppendedRows } from './appended-rows.ts';

export interface PassLimits {
  readonly maxRows: number;
  readonly maxSelected: number;
  readonly maxSequences: number;
}

const none: readonly number[] = Object.freeze([]);

export class Passes {
  /** The chunk: rows `start`…`end`-1 of the step. */
  start = 0;
  end = 0;
  /** Results of the pass: the entries `place`…`place + count`-1 of the step's selected rows. */
  place = 0;
  count = 0;
  /** T and R. R is the same in all passes over a chunk, for offsets in the arena depend on it: the last may have more than `count`. */
  readonly symbols: [number, number] = [0, 0];
  readonly #limits: PassLimits;
  readonly #appended: AppendedRows;
  #rowCount = 0;
  #wanted = none;
  /** The selected rows of the chunk end before this entry. */
  #until = 0;
  #isFirst = false;

  constructor(limits: PassLimits, appended: AppendedRows) {
    this.#limits = limits;
    this.#appended = appended;
  }

  /** Whether the chunk's rows are to be computed, or only results of rows that are. */
  get isFirst(): boolean {
    return this.#isFirst;
  }

  get isLastOfChunk(): boolean {
    return this.place + this.count === this.#until;
  }

  /** Before the first pass of a step; `wanted` are its selected rows. */
  begin(rowCount: number, wanted: readonly number[]): void {
    this.#rowCount = rowCount;
    this.#wanted = wanted;
    this.start = this.end = this.place = this.count = this.#until = 0;
  }

  /** Goes on to the next pass; false after the last. */
  next(): boolean {
    this.place += this.count;
    this.#isFirst = this.place === this.#until;
    if (this.#isFirst && !this.#nextChunk()) return false;
    this.count = Math.min(this.symbols[1], this.#until - this.place);
    return true;
  }

  /** Index in the step of the `entry`-th selected row of the pass; those beyond `count` repeat the last. */
  selectedRow(entry: number): number {
    return this.#wanted[Math.min(this.place + entry, this.#until - 1)] ?? 0;
  }

  #nextChunk(): boolean {
    const { maxRows, maxSelected, maxSequences } = this.#limits;
    this.start = this.end;
    if (this.start === this.#rowCount) return false;
    this.end = this.#appended.chunkEnd(this.start, this.#rowCount, maxRows, maxSequences);
    const wanted = this.#wanted;
    while (this.#until < wanted.length && (wanted[this.#until] ?? 0) < this.end) this.#until++;
    const selected = this.#until - this.place;
    const passes = Math.max(1, Math.ceil(selected / maxSelected));
    this.symbols[0] = this.end - this.start;
    this.symbols[1] = Math.ceil(selected / passes);
    return true;
  }
}
