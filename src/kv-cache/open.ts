/** Opens a cache: sequences over one pool of pages, shared beginnings, snapshots. */
import type { Backend } from '../backend.ts';
import type { Budget } from '../base/budget.ts';
import { known, NearfieldError } from '../base/error.ts';
import type { CacheMoveRow, KvCache, Sequence } from '../kv-cache.ts';
import { filledBytes, type Page, type PageLayout, PagePool, pagesFor } from './page-pool.ts';
import { contextFull, copyRows, PagedSequence } from './paged-sequence.ts';

export interface KvCacheOptions {
  readonly backend: Backend;
  readonly layout: PageLayout;
  /** Rows a sequence can hold. */
  readonly contextLength: number;
  readonly budget: Budget;
}

export function openKvCache({ backend, layout, contextLength, budget }: KvCacheOptions): KvCache {
  if (!Number.isInteger(contextLength) || contextLength < 1) {
    throw new NearfieldError('bad-argument', `A context holds at least 1 row, not ${contextLength}`);
  }
  if (!(layout.pageBytes > 0) || layout.pageBytes % 4 !== 0) {
    throw new NearfieldError('internal', `A cache page of ${layout.pageBytes} bytes is not made of words`);
  }
  return new PagedCache(backend, budget, layout, contextLength);
}

/** Bytes that a cache holds once one sequence fills the context. */
export function fullCacheBytes(
  layout: Pick<PageLayout, 'pageRows' | 'pageBytes'>,
  contextLength: number,
): number {
  return filledBytes(layout.pageBytes, pagesFor(layout, contextLength));
}

class PagedCache implements KvCache {
  readonly contextLength: number;
  readonly pageRows: number;
  readonly pageBytes: number;
  readonly #backend: Backend;
  readonly #partBytes: readonly number[];
  readonly #pool: PagePool;

  constructor(backend: Backend, budget: Budget, layout: PageLayout, contextLength: number) {
    this.contextLength = contextLength;
    this.pageRows = layout.pageRows;
    this.pageBytes = layout.pageBytes;
    this.#backend = backend;
    this.#partBytes = layout.partBytes;
    this.#pool = new PagePool(backend, budget, layout, pagesFor(layout, contextLength));
  }

  get heldBytes(): number {
    return this.#pool.heldBytes;
  }

  openSequence(): Sequence {
    return new PagedSequence(this.#pool, this.contextLength, [], 0);
  }

  trim(): void {
    this.#pool.trim();
  }

  share(source: Sequence, length: number): { sequence: Sequence; moves: readonly CacheMoveRow[] } {
    const own = this.#own(source);
    if (!Number.isInteger(length) || length < 0 || length > own.committed) {
      throw new NearfieldError(
        'bad-argument',
        `A sequence of ${own.committed} committed rows cannot share ${length}`,
      );
    }
    const partialRows = length % this.pageRows;
    const partial = partialRows > 0 ? this.#pool.take() : undefined;
    const pages = own.pages(Math.floor(length / this.pageRows));
    for (const page of pages) this.#pool.hold(page);
    if (!partial) return { sequence: this.#sequence(pages, length), moves: [] };
    const original = known(own.pages(this.#pool.pagesFor(length)).at(-1), 'last shared page');
    const moves = copyRows(original, partial, partialRows);
    return { sequence: this.#sequence([...pages, partial], length), moves };
  }

  async save(sequence: Sequence, sink: (page: Uint8Array) => Promise<void>): Promise<void> {
    const own = this.#own(sequence);
    const pages = own.pages(this.#pool.pagesFor(own.committed));
    for (const page of pages) this.#pool.hold(page);
    try {
      const bytes = new Uint8Array(this.pageBytes);
      for (const page of pages) {
        for (const { part, memory } of this.#parts(bytes)) {
          await this.#backend.read(page.region, page.offsetBytes, part, memory);
        }
        await sink(bytes);
      }
    } finally {
      for (const page of pages) this.#pool.drop(page);
    }
  }

  async restore(length: number, source: (page: Uint8Array) => Promise<void>): Promise<Sequence> {
    if (!Number.isInteger(length) || length < 0) {
      throw new NearfieldError('bad-argument', `A snapshot cannot hold ${length} rows`);
    }
    if (length > this.contextLength) throw contextFull(this.contextLength);
    const pages: Page[] = [];
    try {
      const bytes = new Uint8Array(this.pageBytes);
      while (pages.length < this.#pool.pagesFor(length)) {
        await source(bytes);
        const page = this.#pool.take();
        pages.push(page);
        for (const { part, memory } of this.#parts(bytes)) {
          this.#backend.write(page.region, page.offsetBytes, part, memory);
        }
      }
    } catch (error) {
      for (const page of pages) this.#pool.drop(page);
      throw error;
    }
    return this.#sequence(pages, length);
  }

  close(): void {
    this.#pool.close();
  }

  /** The parts of a page's bytes that lie in the machine's memories: layer after layer, however they are spread. */
  #parts(page: Uint8Array): { readonly part: Uint8Array; readonly memory: number }[] {
    let end = 0;
    return this.#partBytes.map((bytes, memory) => {
      end += bytes;
      return { part: page.subarray(end - bytes, end), memory };
    });
  }

  #sequence(pages: Page[], committed: number): Sequence {
    return new PagedSequence(this.#pool, this.contextLength, pages, committed);
  }

  #own(sequence: Sequence): PagedSequence {
    if (!(sequence instanceof PagedSequence) || !sequence.belongsTo(this.#pool) || sequence.closed) {
      throw new NearfieldError('bad-argument', 'The sequence is closed or belongs to another cache');
    }
    return sequence;
  }
}
