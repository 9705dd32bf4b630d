/** The rows of the running step in their sequences: appended all at once, taken back all at once when the step fails. */
import type { StepBlock } from '../backend.ts';
import { known, NearfieldError } from '../base/error.ts';
import type { StepRow } from '../executor.ts';
import type { Sequence } from '../kv-cache.ts';
import type { RowLookup } from '../weights.ts';

/** Per row: cacheRow, visible, maskLow, maskHigh, index of its sequence. */
const rowWords = 5;

/** A sequence of the step; records are reused. */
interface Noted {
  sequence: Sequence | undefined;
  /** Rows before the step, and rows of the step. */
  lengthBefore: number;
  rowCount: number;
  /** Its index in the block that is being filled, or -1. */
  blockIndex: number;
}

/** Reused from step to step; grows to the longest. */
export class AppendedRows {
  /** The distinct sequences of the step, in order of their first row; the first `#count` are in use. */
  readonly #noted: Noted[] = [];
  #count = 0;
  #words = new Int32Array(64 * rowWords);
  /** One record for all calls of `StepBlock.addRow`. */
  readonly #row = {
    token: 0,
    position: 0,
    cacheRow: 0,
    visible: 0,
    maskLow: 0,
    maskHigh: 0,
    sequence: 0,
  };

  /** Notes the sequences; changes none. Throws `context-full` where the rows do not fit. */
  begin(rows: readonly StepRow[], contextLength: number): void {
    if (this.#words.length < rows.length * rowWords) {
      this.#words = new Int32Array(Math.max(rows.length * rowWords, this.#words.length * 2));
    }
    for (let row = 0; row < rows.length; row++) {
      const { sequence } = known(rows[row], 'row');
      const index = this.#indexOf(sequence);
      this.#words[row * rowWords + 4] = index;
      this.#at(index).rowCount++;
    }
    for (let index = 0; index < this.#count; index++) {
      const { lengthBefore, rowCount } = this.#at(index);
      if (lengthBefore + rowCount > contextLength) {
        throw new NearfieldError(
          'context-full',
          `${rowCount} rows do not fit: the context has ${contextLength}, of which ${lengthBefore} are taken; shorten the prompt or open a longer context`,
        );
      }
    }
  }

  get sequenceCount(): number {
    return this.#count;
  }

  sequence(index: number): Sequence {
    return known(this.#at(index).sequence, 'sequence');
  }

  append(rows: readonly StepRow[]): void {
    const words = this.#words;
    for (let index = 0; index < rows.length; index++) {
      const { sequence, parent } = known(rows[index], 'row');
      const at = index * rowWords;
      const placed = sequence.append(
        typeof parent === 'number' ? parent : known(words[parent.row * rowWords], 'parent'),
      );
      words[at] = placed.cacheRow;
      words[at + 1] = placed.visible;
      words[at + 2] = placed.maskLow;
      words[at + 3] = placed.maskHigh;
    }
  }

  /** Every sequence is as `begin` found it. */
  rollBack(): void {
    for (let index = 0; index < this.#count; index++) {
      const sequence = this.sequence(index);
      const { lengthBefore } = this.#at(index);
      if (sequence.committed + sequence.pending > lengthBefore) sequence.forget(lengthBefore);
    }
  }

  cacheRow(row: number): number {
    return known(this.#words[row * rowWords], 'row');
  }

  /** End of the longest chunk from `start` on with at most so many rows and sequences. */
  chunkEnd(start: number, rowCount: number, maxRows: number, maxSequences: number): number {
    this.#forgetBlock();
    let sequences = 0;
    let end = start;
    for (; end < rowCount && end - start < maxRows; end++) {
      const noted = this.#noteOf(end);
      if (noted.blockIndex >= 0) continue;
      if (sequences === maxSequences) break;
      noted.blockIndex = sequences++;
    }
    return end;
  }

  /** Fetches what the rows of a pass look up; undefined where all of it is there. */
  bring(
    lookup: RowLookup,
    rows: readonly StepRow[],
    { start, end }: { readonly start: number; readonly end: number },
    signal: AbortSignal | undefined,
  ): Promise<void> | undefined {
    return lookup.bring(end - start, (index) => known(rows[start + index], 'row').token, signal);
  }

  /** Adds the rows `start`…`end`-1 and their sequences. */
  addTo(
    block: StepBlock,
    rows: readonly StepRow[],
    start: number,
    end: number,
    lookup: RowLookup | undefined,
  ): void {
    this.#forgetBlock();
    const words = this.#words;
    const row = this.#row;
    for (let index = start; index < end; index++) {
      const at = index * rowWords;
      const { token, position } = known(rows[index], 'row');
      row.token = lookup ? lookup.place(token) : token;
      row.position = position;
      row.cacheRow = words[at] ?? 0;
      row.visible = words[at + 1] ?? 0;
      row.maskLow = words[at + 2] ?? 0;
      row.maskHigh = words[at + 3] ?? 0;
      row.sequence = this.#blockIndexOf(block, this.#noteOf(index));
      block.addRow(row);
    }
  }

  /** Lets go of the sequences, so that closed ones can be collected. */
  clear(): void {
    for (let index = 0; index < this.#count; index++) this.#at(index).sequence = undefined;
    this.#count = 0;
  }

  #blockIndexOf(block: StepBlock, noted: Noted): number {
    if (noted.blockIndex < 0) {
      const { pageAddresses, committed } = known(noted.sequence, 'sequence');
      noted.blockIndex = block.addSequence(pageAddresses, committed);
    }
    return noted.blockIndex;
  }

  #forgetBlock(): void {
    for (let index = 0; index < this.#count; index++) this.#at(index).blockIndex = -1;
  }

  #noteOf(row: number): Noted {
    return this.#at(this.#words[row * rowWords + 4] ?? 0);
  }

  #at(index: number): Noted {
    return known(this.#noted[index], 'sequence of the step');
  }

  #indexOf(sequence: Sequence): number {
    for (let index = 0; index < this.#count; index++) {
      if (this.#at(index).sequence === sequence) return index;
    }
    const index = this.#count++;
    const noted = this.#noted[index] ?? { sequence, lengthBefore: 0, rowCount: 0, blockIndex: -1 };
    noted.sequence = sequence;
    noted.lengthBefore = sequence.committed + sequence.pending;
    noted.rowCount = 0;
    this.#noted[index] = noted;
    return index;
  }
}
