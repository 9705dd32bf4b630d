/**
 * The step block: one region of 32-bit words that tells every kernel what the rows of a step are. All backends read the
 * same layout; a WebGPU buffer, a WebAssembly memory and a typed array hold it alike.
 *
 *   word  0 rows T          1 selected R       2 sequences        3 moves
 *         4 first word of rows  5 of selected  6 of sequences     7 of moves   8 of page tables
 *         9 rows of a page, as a power of two
 *        10 first word of drawn tokens  11 of the draw block (`draw-block.ts`): behind this block, on machines that draw
 *   row (8 words):      token, position, cacheRow, visible, maskLow, maskHigh, sequence, 0; a token below zero is the
 *                       drawn one of slot -1 - token
 *   selected (1 word):  index of a row
 *   sequence (4 words): first word of its page table, pages, committed, 0
 *   move (4 words):     from sequence, from cache row, to sequence, to cache row
 *   page table:         addressWords of each page
 *
 * A row sees the cache rows 0…visible-1 of its sequence and, for each bit i of its mask, row committed + i; its own cache
 * row is among them. The logical order of what it sees is ascending: first the prefix, then the bits.
 */
import { NearfieldError } from '../base/error.ts';
import { drawBlockLayout, drawnSlots } from './draw-block.ts';

const headerWords = 16;
const rowWords = 8;
const sequenceWords = 4;
const moveWords = 4;

export const stepBlockLayout = { headerWords, rowWords, sequenceWords, moveWords } as const;

export interface StepBlockLimits {
  readonly rows: number;
  readonly selected: number;
  readonly sequences: number;
  readonly moves: number;
  /** Pages over all sequences of one step. */
  readonly pages: number;
  /** Of the cache. */
  readonly pageRows: number;
}

export interface StepRow {
  /** Below zero: `drawnToken` of a slot. */
  readonly token: number;
  readonly position: number;
  readonly cacheRow: number;
  readonly visible: number;
  readonly maskLow: number;
  readonly maskHigh: number;
  /** Index of its sequence within the block. */
  readonly sequence: number;
}

/** What stands for the token that was drawn into a slot. */
export const drawnToken = (slot: number): number => -1 - slot;

/** Writes step blocks into one buffer that is reused from step to step. */
export class StepBlock {
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
  readonly #limits: StepBlockLimits;
  readonly #starts: { rows: number; selected: number; sequences: number; moves: number; pages: number };
  #pages = 0;

  constructor(limits: StepBlockLimits) {
    const rows = headerWords;
    const selected = rows + limits.rows * rowWords;
    const sequences = selected + limits.selected;
    const moves = sequences + limits.sequences * sequenceWords;
    const pages = moves + limits.moves * moveWords;
    this.#limits = limits;
    this.#starts = { rows, selected, sequences, moves, pages };
    this.words = new Int32Array(pages + limits.pages);
    this.bytes = new Uint8Array(this.words.buffer);
    this.clear();
  }

  get rowCount(): number {
    return this.words[0] ?? 0;
  }

  get selectedCount(): number {
    return this.words[1] ?? 0;
  }

  get moveCount(): number {
    return this.words[3] ?? 0;
  }

  /** First word of the drawn tokens' slots, which lie behind this block where a machine draws. */
  get drawnTokensWord(): number {
    return this.words.length;
  }

  get drawBlockWord(): number {
    return this.words.length + drawnSlots * drawBlockLayout.drawnWords;
  }

  clear(): void {
    const { rows, selected, sequences, moves, pages } = this.#starts;
    this.words.fill(0, 0, headerWords);
    this.words[4] = rows;
    this.words[5] = selected;
    this.words[6] = sequences;
    this.words[7] = moves;
    this.words[8] = pages;
    this.words[9] = Math.log2(this.#limits.pageRows);
    this.words[10] = this.drawnTokensWord;
    this.words[11] = this.drawBlockWord;
    this.#pages = 0;
  }

  /** Returns the sequence's index in this block. */
  addSequence(pageAddresses: ArrayLike<number>, committed: number): number {
    const index = this.#take(2, this.#limits.sequences, 'sequences');
    if (this.#pages + pageAddresses.length > this.#limits.pages) this.#overflow('pages', this.#limits.pages);
    const first = this.#starts.pages + this.#pages;
    this.words.set(pageAddresses, first);
    this.#pages += pageAddresses.length;
    const place = this.#starts.sequences + index * sequenceWords;
    this.words[place] = first;
    this.words[place + 1] = pageAddresses.length;
    this.words[place + 2] = committed;
    return index;
  }

  /** Returns the row's index in this block. */
  addRow(row: StepRow): number {
    const index = this.#take(0, this.#limits.rows, 'rows');
    const place = this.#starts.rows + index * rowWords;
    const { words } = this;
    words[place] = row.token;
    words[place + 1] = row.position;
    words[place + 2] = row.cacheRow;
    words[place + 3] = row.visible;
    words[place + 4] = row.maskLow;
    words[place + 5] = row.maskHigh;
    words[place + 6] = row.sequence;
    return index;
  }

  select(row: number): void {
    const index = this.#take(1, this.#limits.selected, 'selected rows');
    this.words[this.#starts.selected + index] = row;
  }

  move(fromSequence: number, fromRow: number, toSequence: number, toRow: number): void {
    const index = this.#take(3, this.#limits.moves, 'moves');
    this.words.set([fromSequence, fromRow, toSequence, toRow], this.#starts.moves + index * moveWords);
  }

  #take(counter: number, limit: number, what: string): number {
    const index = this.words[counter] ?? 0;
    if (index >= limit) this.#overflow(what, limit);
    this.words[counter] = index + 1;
    return index;
  }

  #overflow(what: string, limit: number): never {
    throw new NearfieldError('internal', `A step block holds at most ${limit} ${what}`);
  }
}
