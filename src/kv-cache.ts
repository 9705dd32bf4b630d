/**
 * The KV cache: what attention keeps of every row, in pages of rows over all layers. Rows are written in place by the
 * operation that makes keys and values and read from the same pages; nothing is copied however long a sequence grows.
 *
 * A page belongs to one sequence or is shared by several. Shared pages are read-only: a sequence that was cut back into
 * one gets a page of its own before it grows again (`prepareToAppend`). Sequences only keep account; the copies they ask
 * for are carried out by the executor (`move`), before anything else is done with the sequence.
 */
export { fullCacheBytes, type KvCacheOptions, openKvCache } from './kv-cache/open.ts';

/** How a row of a step sees its sequence; goes into the step block as it is. */
export interface CacheRow {
  /** Logical row it is written to: row `cacheRow % pageRows` of page `cacheRow / pageRows`. */
  readonly cacheRow: number;
  /** Rows 0…visible-1 are seen. */
  readonly visible: number;
  /** Bit i: row committed + i is seen as well; none of those below `visible`. */
  readonly maskLow: number;
  readonly maskHigh: number;
}

/** A row to be copied from one page to another, in all layers. Moves run in order. */
export interface CacheMoveRow {
  /** Word address of the page. */
  readonly fromPage: number;
  /** Row within the page. */
  readonly fromRow: number;
  readonly toPage: number;
  readonly toRow: number;
}

/**
 * One timeline of rows: `committed` rows that all later rows see, then up to 64 pending rows of a tree (or a chain of any
 * length) that only their descendants see. It must not be changed while a step of the executor works on it.
 */
export interface Sequence {
  readonly committed: number;
  /** Rows appended since the last commit. */
  readonly pending: number;
  /** Word address of each page, in order; a view that changes as pages are added. */
  readonly pageAddresses: readonly number[];
  /**
   * The copies to carry out before the next `append`: none, but where the page that it would write to is shared. Asking
   * again gives the same copies until a row is appended. Throws `out-of-budget`.
   */
  prepareToAppend(): readonly CacheMoveRow[];
  /**
   * Takes the pages for so many more rows now, so that none of their appends can run out of budget; `forget` gives them
   * back. Throws `context-full` or `out-of-budget`, and takes none then.
   */
  reserve(rowCount: number): void;
  /**
   * Appends a row under `parent`: a pending cache row, or `committed - 1` for a child of the committed prefix. While every
   * pending row is the child of the one before it the rows are a chain; the first other parent makes them a tree.
   * Throws `context-full` beyond the context, `out-of-budget` where no page can be had, `bad-argument` for a parent that
   * is neither, or for a tree of more than 64 rows; the sequence is then as it was.
   */
  append(parent: number): CacheRow;
  /**
   * Keeps a path of pending rows (each the child of the one before, the first a child of the prefix) and drops the other
   * pending rows, but for `kept`: descendants of the path's end in ascending order, which stay pending behind it in that
   * order. Returns the moves that bring the rows into place: none for a chain's beginning. Throws `bad-argument`, and
   * changes nothing, where they are no such path or descendants.
   */
  commit(path: readonly number[], kept?: readonly number[]): readonly CacheMoveRow[];
  /**
   * Forgets every row from `length` on, committed or pending (pending rows below `length` stay pending); pages no longer
   * needed go back.
   */
  forget(length: number): void;
  /** Gives all pages back. Harmless when repeated. */
  close(): void;
}

export interface KvCache {
  /** Rows a sequence can hold. */
  readonly contextLength: number;
  readonly pageRows: number;
  /** Bytes of pages now held (some of them free, for the next that needs one), and of one page. */
  readonly heldBytes: number;
  readonly pageBytes: number;
  openSequence(): Sequence;
  /** Gives back pages that no sequence has; otherwise some are kept for the next that needs one. */
  trim(): void;
  /**
   * A new sequence that begins with the first `length` committed rows of `source`. Whole pages are shared, read-only for
   * both; the rows of the last, partial page are copied by the returned moves (fewer than a page's).
   */
  share(
    source: Sequence,
    length: number,
  ): { readonly sequence: Sequence; readonly moves: readonly CacheMoveRow[] };
  /**
   * The committed rows' pages as bytes in the backend's own layout, page after page, for a snapshot. The bytes are valid
   * until `sink` settles. Of the last page only the committed rows mean anything.
   */
  save(sequence: Sequence, sink: (page: Uint8Array) => Promise<void>): Promise<void>;
  /** A sequence of `length` committed rows from such pages: `source` fills one page a call. Frees them when it fails. */
  restore(length: number, source: (page: Uint8Array) => Promise<void>): Promise<Sequence>;
  /** Frees all pages, also those of sequences still open. */
  close(): void;
}
