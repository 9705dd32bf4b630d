/**
 * The step block: one region of 32-bit words that tells every kernel what the rows of a step are. All backends read the
 * same layout; a WebGPU buffer, a WebAssembly memory and a typed array hold it alike.
 *
 *   word  0 rows T          1 selected R       2 sequences        3 moves
 *         4 first word of rows  5 of selected  6 of sequences     7 of moves   8 of page tables
 *         9 rows of a page, as a power of two
 *        10 first word of drawn tokens  11 of the draw block (`draw-block.ts`): behind the largest block that there may be, on
 *           machines that draw
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

type Part = 'rows' | 'selected' | 'sequences' | 'moves' | 'pages';

/** Writes step blocks into buffers that are reused from step to step. */
export class StepBlock {
  readonly #limits: StepBlockLimits;
  readonly #pageShift: number;
  readonly #rows: Int32Array;
  readonly #selected: Int32Array;
  readonly #sequences: Int32Array;
  readonly #moves: Int32Array;
  readonly #pages: Int32Array;
  readonly #counts: Record<Part, number> = { rows: 0, selected: 0, sequences: 0, moves: 0, pages: 0 };
  /** The parts in use, one behind the other. */
  readonly #words: Int32Array;
  /** Most blocks are as long as the one before. */
  #bytes: Uint8Array = new Uint8Array();

  constructor(limits: StepBlockLimits) {
    this.#limits = limits;
    this.#pageShift = Math.log2(limits.pageRows);
    this.#rows = new Int32Array(limits.rows * rowWords);
    this.#selected = new Int32Array(limits.selected);
    this.#sequences = new Int32Array(limits.sequences * sequenceWords);
    this.#moves = new Int32Array(limits.moves * moveWords);
    this.#pages = new Int32Array(limits.pages);
    const parts = [this.#rows, this.#selected, this.#sequences, this.#moves, this.#pages];
    this.#words = new Int32Array(parts.reduce((words, part) => words + part.length, headerWords));
  }

  get rowCount(): number {
    return this.#counts.rows;
  }

  get selectedCount(): number {
    return this.#counts.selected;
  }

  get moveCount(): number {
    return this.#counts.moves;
  }

  /** Of the largest block. */
  get mostBytes(): number {
    return this.#words.byteLength;
  }

  /** First word of the drawn tokens' slots, which lie behind this block where a machine draws. */
  get drawnTokensWord(): number {
    return this.#words.length;
  }

  get drawBlockWord(): number {
    return this.#words.length + drawnSlots * drawBlockLayout.drawnWords;
  }

  /** The block as it is now, without what it has room for; overwritten by the next. */
  get bytes(): Uint8Array {
    const words = this.#words;
    const { rows, selected, sequences, moves, pages } = this.#counts;
    const rowStart = headerWords;
    const selectedStart = put(words, rowStart, this.#rows, rows * rowWords);
    const sequenceStart = put(words, selectedStart, this.#selected, selected);
    const moveStart = put(words, sequenceStart, this.#sequences, sequences * sequenceWords);
    const pageStart = put(words, moveStart, this.#moves, moves * moveWords);
    const end = put(words, pageStart, this.#pages, pages);
    // Sequences count pages from the first of the block.
    for (let at = sequenceStart; at < moveStart; at += sequenceWords)
      words[at] = (words[at] ?? 0) + pageStart;
    words.fill(0, 0, headerWords);
    words[0] = rows;
    words[1] = selected;
    words[2] = sequences;
    words[3] = moves;
    words[4] = rowStart;
    words[5] = selectedStart;
    words[6] = sequenceStart;
    words[7] = moveStart;
    words[8] = pageStart;
    words[9] = this.#pageShift;
    words[10] = this.drawnTokensWord;
    words[11] = this.drawBlockWord;
    if (this.#bytes.length !== 4 * end) this.#bytes = new Uint8Array(words.buffer, 0, 4 * end);
    return this.#bytes;
  }

  clear(): void {
    const counts = this.#counts;
    counts.rows = counts.selected = counts.sequences = counts.moves = counts.pages = 0;
  }

  /** Returns the sequence's index in this block. */
  addSequence(pageAddresses: ArrayLike<number>, committed: number): number {
    const index = this.#take('sequences');
    const first = this.#counts.pages;
    if (first + pageAddresses.length > this.#limits.pages) this.#overflow('pages');
    this.#pages.set(pageAddresses, first);
    this.#counts.pages += pageAddresses.length;
    const place = index * sequenceWords;
    this.#sequences[place] = first;
    this.#sequences[place + 1] = pageAddresses.length;
    this.#sequences[place + 2] = committed;
    return index;
  }

  /** Returns the row's index in this block. */
  addRow(row: StepRow): number {
    const index = this.#take('rows');
    const place = index * rowWords;
    const words = this.#rows;
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
    this.#selected[this.#take('selected')] = row;
  }

  move(fromSequence: number, fromRow: number, toSequence: number, toRow: number): void {
    const place = this.#take('moves') * moveWords;
    const words = this.#moves;
    words[place] = fromSequence;
    words[place + 1] = fromRow;
    words[place + 2] = toSequence;
    words[place + 3] = toRow;
  }

  #take(part: Exclude<Part, 'pages'>): number {
    const index = this.#counts[part];
    if (index >= this.#limits[part]) this.#overflow(part);
    this.#counts[part] = index + 1;
    return index;
  }

  #overflow(part: Part): never {
    throw new NearfieldError('internal', `A step block holds at most ${this.#limits[part]} ${part}`);
  }
}

/** Returns the end of what was put; plain loops, since most parts are a few words. */
function put(words: Int32Array, start: number, part: Int32Array, count: number): number {
  for (let index = 0; index < count; index++) words[start + index] = part[index] ?? 0;
  return start + count;
}
