/** A step block (`step-block.ts`) read back into records, with the pages its tables name. */
import { known } from '../../base/error.ts';
import { stepBlockLayout } from '../step-block.ts';
import type { Place } from './regions.ts';

export interface StepTables {
  readonly rows: readonly TableRow[];
  /** Indices into `rows`. */
  readonly selected: readonly number[];
  readonly sequences: readonly TableSequence[];
  readonly moves: readonly TableMove[];
}

export interface TableRow {
  readonly token: number;
  readonly position: number;
  readonly cacheRow: number;
  readonly visible: number;
  readonly maskLow: number;
  readonly maskHigh: number;
  readonly sequence: number;
}

export interface TableSequence {
  readonly pages: readonly Place[];
  readonly committed: number;
}

export interface TableMove {
  readonly fromSequence: number;
  readonly fromRow: number;
  readonly toSequence: number;
  readonly toRow: number;
}

export function readStepTables(words: Int32Array, placeAt: (addressWords: number) => Place): StepTables {
  const { rowWords, sequenceWords, moveWords } = stepBlockLayout;
  const word = (index: number) => known(words[index], `word ${index} of the step block`);
  const records = <T>(countWord: number, startWord: number, size: number, make: (at: number) => T): T[] =>
    Array.from({ length: word(countWord) }, (_, index) => make(word(startWord) + index * size));
  return {
    rows: records(0, 4, rowWords, (at) => ({
      token: word(at),
      position: word(at + 1),
      cacheRow: word(at + 2),
      visible: word(at + 3),
      maskLow: word(at + 4),
      maskHigh: word(at + 5),
      sequence: word(at + 6),
    })),
    selected: records(1, 5, 1, word),
    sequences: records(2, 6, sequenceWords, (at) => ({
      pages: Array.from({ length: word(at + 1) }, (_, page) => placeAt(word(word(at) + page))),
      committed: word(at + 2),
    })),
    moves: records(3, 7, moveWords, (at) => ({
      fromSequence: word(at),
      fromRow: word(at + 1),
      toSequence: word(at + 2),
      toRow: word(at + 3),
    })),
  };
}

/** Cache rows that a row sees, its own among them, in logical order: the prefix ascending, then the mask's bits. */
export function visibleRows(row: TableRow, committed: number): number[] {
  const seen = Array.from({ length: row.visible }, (_, index) => index);
  for (let bit = 0; bit < 64; bit++) {
    const word = bit < 32 ? row.maskLow : row.maskHigh;
    if ((word >>> (bit & 31)) & 1) seen.push(committed + bit);
  }
  return seen;
}
