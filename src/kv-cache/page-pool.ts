/** Pages of the cache: taken from the backend in slabs, counted by their holders, kept a while when nobody holds them. */
import type { Backend, Region } from '../backend.ts';
import type { Budget, Reservation } from '../base/budget.ts';
import { known, NearfieldError } from '../base/error.ts';
import type { SpreadCacheLayout } from '../plan.ts';

/** What the cache needs to know of a plan's layout. */
export type PageLayout = Pick<SpreadCacheLayout, 'pageRows' | 'pageBytes' | 'strideBytes' | 'partBytes'>;

/** Room for `pageRows` rows in all layers. */
export interface Page {
  /** Unique among the backend's living pages. */
  readonly addressWords: number;
  readonly region: Region;
  readonly offsetBytes: number;
  /** Sequences (and savers) that hold it; 0 when free. */
  readonly holders: number;
}

interface PooledPage extends Page {
  readonly slab: Slab;
  holders: number;
  /** Has been held before: rows of another sequence may be in it. */
  used: boolean;
}

interface Slab {
  readonly region: Region;
  readonly reservation: Reservation;
  readonly pages: PooledPage[];
  heldPages: number;
}

/** Small pages come several to a region, so that a backend has few of them. */
const slabBytesWanted = 1 << 20;
const zeroBytesAtATime = 1 << 16;

/** `pagesPerSequence` bounds a slab: more could not be of use to one sequence. */
const slabPages = (pageBytes: number, pagesPerSequence: number): number =>
  Math.max(1, Math.min(pagesPerSequence, Math.floor(slabBytesWanted / pageBytes)));

export const pagesFor = ({ pageRows }: Pick<PageLayout, 'pageRows'>, rows: number): number =>
  Math.ceil(rows / pageRows);

/** What a pool holds when one sequence has all its pages. */
export function filledBytes(pageBytes: number, pagesPerSequence: number): number {
  const pages = slabPages(pageBytes, pagesPerSequence);
  return Math.ceil(pagesPerSequence / pages) * pages * pageBytes;
}

export class PagePool {
  readonly #backend: Backend;
  readonly #budget: Budget;
  readonly #layout: PageLayout;
  readonly #pagesPerSlab: number;
  readonly #slabs = new Set<Slab>();
  readonly #free: PooledPage[] = [];
  readonly #zeros: Uint8Array;
  #closed = false;

  constructor(backend: Backend, budget: Budget, layout: PageLayout, pagesPerSequence: number) {
    const { pageBytes, strideBytes } = layout;
    this.#backend = backend;
    this.#budget = budget;
    this.#layout = layout;
    this.#pagesPerSlab = slabPages(pageBytes, pagesPerSequence);
    this.#zeros = new Uint8Array(Math.min(strideBytes, zeroBytesAtATime));
  }

  get pageRows(): number {
    return this.#layout.pageRows;
  }

  /** Pages that hold so many rows. */
  pagesFor(rows: number): number {
    return pagesFor(this.#layout, rows);
  }

  get heldBytes(): number {
    return this.#slabs.size * this.#slabBytes;
  }

  /** In all memories together. */
  get #slabBytes(): number {
    return this.#pagesPerSlab * this.#layout.pageBytes;
  }

  /** A page of zeros with one holder. Throws `out-of-budget`. */
  take(): Page {
    if (this.#closed) throw new NearfieldError('bad-argument', 'The KV cache is closed');
    if (this.#free.length === 0) this.#addSlab();
    const page = known(this.#free.pop(), 'free page');
    if (page.used) this.#clear(page);
    page.used = true;
    page.holders = 1;
    page.slab.heldPages++;
    return page;
  }

  /** One more holder. */
  hold(page: Page): void {
    this.#own(page).holders++;
  }

  /** One holder less; the last one frees it. */
  drop(page: Page): void {
    if (this.#closed) return;
    const own = this.#own(page);
    own.holders--;
    if (own.holders > 0) return;
    this.#free.push(own);
    own.slab.heldPages--;
    if (own.slab.heldPages === 0 && this.#free.length > this.#pagesPerSlab) this.#releaseSlab(own.slab);
  }

  /** Frees what nobody holds. */
  trim(): void {
    for (const slab of this.#slabs) if (slab.heldPages === 0) this.#releaseSlab(slab);
  }

  /** Frees everything, held or not; pages may still be dropped afterwards. */
  close(): void {
    this.#closed = true;
    for (const slab of this.#slabs) this.#releaseSlab(slab);
  }

  #own(page: Page): PooledPage {
    const own = page as PooledPage;
    if (own.holders < 1 || !this.#slabs.has(own.slab)) {
      throw new NearfieldError('internal', 'A cache page is used after it was given back');
    }
    return own;
  }

  #addSlab(): void {
    const { strideBytes } = this.#layout;
    const reservation = this.#budget.reserve(this.#slabBytes, 'KV cache', 'a shorter context');
    let region: Region;
    try {
      region = this.#backend.allocate(this.#pagesPerSlab * strideBytes, 'KV cache', 'pages');
    } catch (error) {
      reservation.release();
      throw error;
    }
    const slab: Slab = { region, reservation, pages: [], heldPages: 0 };
    for (let index = this.#pagesPerSlab - 1; index >= 0; index--) {
      const offsetBytes = index * strideBytes;
      const addressWords = region.addressWords + offsetBytes / 4;
      slab.pages.push({ addressWords, region, offsetBytes, holders: 0, slab, used: false });
    }
    this.#slabs.add(slab);
    this.#free.push(...slab.pages);
  }

  #releaseSlab(slab: Slab): void {
    let kept = 0;
    for (const page of this.#free) if (page.slab !== slab) this.#free[kept++] = page;
    this.#free.length = kept;
    this.#slabs.delete(slab);
    this.#backend.release(slab.region);
    slab.reservation.release();
  }

  /** A snapshot of one sequence must not hold rows of another. */
  #clear(page: Page): void {
    const { strideBytes } = this.#layout;
    if (this.#backend.clear) {
      this.#backend.clear(page.region, page.offsetBytes, strideBytes);
      return;
    }
    for (let done = 0; done < strideBytes; done += this.#zeros.length) {
      const length = Math.min(this.#zeros.length, strideBytes - done);
      this.#backend.write(page.region, page.offsetBytes + done, this.#zeros.subarray(0, length));
    }
  }
}
