/** A sequence as a table of pages, its committed rows, and its pending ones. */
import { NearfieldError } from '../base/error.ts';
import type { CacheMoveRow, CacheRow, Sequence } from '../kv-cache.ts';
import type { Page, PagePool } from './page-pool.ts';
import { PendingRows, treeRowLimit } from './pending-rows.ts';

const none: readonly number[] = Object.freeze([]);
const noMoves: readonly CacheMoveRow[] = Object.freeze([]);

export class PagedSequence implements Sequence {
  readonly pageAddresses: number[];
  readonly #pool: PagePool;
  readonly #contextLength: number;
  readonly #pages: Page[];
  readonly #pending = new PendingRows();
  #committed: number;
  #closed = false;
  /** Takes the place of the shared page that the next row belongs in, once its rows were copied. */
  #replacement: Page | undefined;

  /** Takes over one hold on each of `pages`, which contain `committed` rows. */
  constructor(pool: PagePool, contextLength: number, pages: Page[], committed: number) {
    this.#pool = pool;
    this.#contextLength = contextLength;
    this.#pages = pages;
    this.pageAddresses = pages.map((page) => page.addressWords);
    this.#committed = committed;
  }

  get committed(): number {
    return this.#committed;
  }

  get pending(): number {
    return this.#pending.count;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** The first `count` pages. */
  pages(count: number): Page[] {
    return this.#pages.slice(0, count);
  }

  belongsTo(pool: PagePool): boolean {
    return this.#pool === pool;
  }

  prepareToAppend(): readonly CacheMoveRow[] {
    this.#expectOpen();
    const row = this.#committed + this.#pending.count;
    const page = this.#pages[Math.floor(row / this.#pool.pageRows)];
    if (page === undefined || page.holders === 1) {
      this.#dropReplacement();
      return noMoves;
    }
    this.#replacement ??= this.#pool.take();
    return copyRows(page, this.#replacement, row % this.#pool.pageRows);
  }

  reserve(rowCount: number): void {
    this.#expectOpen();
    const taken = this.#committed + this.#pending.count;
    const end = taken + rowCount;
    if (end > this.#contextLength) {
      throw new NearfieldError(
        'context-full',
        `${rowCount} rows do not fit: the context has ${this.#contextLength}, of which ${taken} are taken; shorten the prompt or open a longer context`,
      );
    }
    const held = this.#pages.length;
    try {
      while (this.#pages.length < this.#pool.pagesFor(end)) this.#providePage(this.#pages.length);
    } catch (error) {
      this.#dropPages(held);
      throw error;
    }
  }

  append(parent: number): CacheRow {
    this.#expectOpen();
    const pending = this.#pending;
    const cacheRow = this.#committed + pending.count;
    if (cacheRow >= this.#contextLength) throw contextFull(this.#contextLength);
    const parentRow = parent - this.#committed;
    if (!Number.isInteger(parent) || parentRow < -1 || parentRow >= pending.count) {
      throw new NearfieldError(
        'bad-argument',
        `Row ${parent} cannot be a parent: it must be ${this.#committed - 1}, the end of the prefix, or a pending row up to ${cacheRow - 1}`,
      );
    }
    if (!pending.admits(parentRow)) {
      throw new NearfieldError(
        'bad-argument',
        `A tree has at most ${treeRowLimit} uncommitted rows; commit or forget some first`,
      );
    }
    this.#providePage(Math.floor(cacheRow / this.#pool.pageRows));
    const row = pending.count;
    pending.add(parentRow);
    return {
      cacheRow,
      visible: this.#committed + pending.leading(row),
      maskLow: pending.maskLow(row),
      maskHigh: pending.maskHigh(row),
    };
  }

  commit(path: readonly number[], kept: readonly number[] = none): readonly CacheMoveRow[] {
    this.#expectOpen();
    const base = this.#committed;
    let end = -1;
    for (let index = 0; index < path.length; index++) {
      const row = path[index] ?? -1;
      if (!this.#pending.isChild(row - base, end)) {
        throw new NearfieldError(
          'bad-argument',
          `Row ${row} is no pending child of row ${base + end}, so they are no path`,
        );
      }
      end = row - base;
    }
    // Parents come before children: a path that ends where its length says has no gaps.
    const hasGaps = end !== path.length - 1;
    const parents = kept.length > 0 ? this.#parentsOfKept(kept, end) : none;
    this.#committed += path.length;
    this.#pending.truncate(0);
    if (!hasGaps && kept.length === 0) return noMoves;
    for (const parent of parents) this.#pending.add(parent);
    const moves: CacheMoveRow[] = [];
    if (hasGaps) this.#moveTogether(path, base, moves);
    this.#moveTogether(kept, this.#committed, moves);
    return moves.length === 0 ? noMoves : moves;
  }

  forget(length: number): void {
    this.#expectOpen();
    const end = this.#committed + this.#pending.count;
    if (!Number.isInteger(length) || length < 0 || length > end) {
      throw new NearfieldError('bad-argument', `A sequence of ${end} rows cannot be cut to ${length}`);
    }
    this.#pending.truncate(Math.max(0, length - this.#committed));
    this.#committed = Math.min(this.#committed, length);
    this.#dropReplacement();
    this.#dropPages(this.#pool.pagesFor(length));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#dropReplacement();
    this.#dropPages(0);
    this.#pending.truncate(0);
    this.#committed = 0;
  }

  #providePage(index: number): void {
    const page = this.#pages[index];
    if (page === undefined) {
      const taken = this.#pool.take();
      this.#pages.push(taken);
      this.pageAddresses.push(taken.addressWords);
    } else if (this.#replacement) {
      this.#pages[index] = this.#replacement;
      this.pageAddresses[index] = this.#replacement.addressWords;
      this.#replacement = undefined;
      this.#pool.drop(page);
    } else if (page.holders > 1) {
      throw new NearfieldError(
        'internal',
        'A row is appended to a shared cache page without prepareToAppend',
      );
    }
  }

  /** Of each kept row its parent among them, or -1 for the path's end. */
  #parentsOfKept(kept: readonly number[], end: number): number[] {
    const base = this.#committed;
    return kept.map((row, index) => {
      const parent = this.#pending.parentOf(row - base);
      const place = kept.indexOf(base + parent);
      const isAfter = index === 0 || row > (kept[index - 1] ?? row);
      if (isAfter && (parent === end || place >= 0)) return place;
      throw new NearfieldError('bad-argument', `Row ${row} does not descend from row ${base + end}`);
    });
  }

  /** Rows to `to` and on, each from behind its place. */
  #moveTogether(rows: readonly number[], to: number, moves: CacheMoveRow[]): void {
    for (const [index, row] of rows.entries()) {
      if (row !== to + index) moves.push(this.#move(row, to + index));
    }
  }

  #move(from: number, to: number): CacheMoveRow {
    return {
      fromPage: this.pageAddresses[Math.floor(from / this.#pool.pageRows)] ?? 0,
      fromRow: from % this.#pool.pageRows,
      toPage: this.pageAddresses[Math.floor(to / this.#pool.pageRows)] ?? 0,
      toRow: to % this.#pool.pageRows,
    };
  }

  #dropReplacement(): void {
    if (this.#replacement) this.#pool.drop(this.#replacement);
    this.#replacement = undefined;
  }

  #dropPages(keep: number): void {
    for (const page of this.#pages.splice(keep)) this.#pool.drop(page);
    this.pageAddresses.length = this.#pages.length;
  }

  #expectOpen(): void {
    if (this.#closed) throw new NearfieldError('bad-argument', 'The sequence is closed');
  }
}

export function contextFull(contextLength: number): NearfieldError {
  return new NearfieldError(
    'context-full',
    `The context of ${contextLength} rows is full; open the model with a longer context or drop earlier rows`,
  );
}

/** The first `count` rows of one page into another. */
export function copyRows(from: Page, to: Page, count: number): CacheMoveRow[] {
  return Array.from({ length: count }, (_, row) => ({
    fromPage: from.addressWords,
    fromRow: row,
    toPage: to.addressWords,
    toRow: row,
  }));
}
