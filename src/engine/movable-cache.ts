/**
 * A cache whose sequences may move to another machine's: their account stays, what they held does not, and has to be
 * computed again (`SurvivingExecutor`).
 */
import type { CacheMoveRow, CacheRow, KvCache, Sequence } from '../kv-cache.ts';

export class MovableCache implements KvCache {
  #cache: KvCache;
  readonly #sequences = new Set<MovableSequence>();

  constructor(cache: KvCache) {
    this.#cache = cache;
  }

  get contextLength(): number {
    return this.#cache.contextLength;
  }

  get pageRows(): number {
    return this.#cache.pageRows;
  }

  get pageBytes(): number {
    return this.#cache.pageBytes;
  }

  get heldBytes(): number {
    return this.#cache.heldBytes;
  }

  openSequence(): Sequence {
    return this.#adopt(this.#cache.openSequence());
  }

  trim(): void {
    this.#cache.trim();
  }

  share(source: Sequence, length: number): ReturnType<KvCache['share']> {
    const { sequence, moves } = this.#cache.share(presentSequence(source), length);
    return { sequence: this.#adopt(sequence), moves };
  }

  save(sequence: Sequence, sink: (page: Uint8Array) => Promise<void>): Promise<void> {
    return this.#cache.save(presentSequence(sequence), sink);
  }

  async restore(length: number, source: (page: Uint8Array) => Promise<void>): Promise<Sequence> {
    return this.#adopt(await this.#cache.restore(length, source));
  }

  close(): void {
    this.#cache.close();
  }

  /** The one before is closed. Committed rows are there without their contents, pending ones are not. */
  moveTo(cache: KvCache): void {
    this.#cache = cache;
    for (const sequence of this.#sequences) sequence.moveTo(cache.openSequence());
  }

  #adopt(inner: Sequence): MovableSequence {
    const sequence = new MovableSequence(inner, () => this.#sequences.delete(sequence));
    this.#sequences.add(sequence);
    return sequence;
  }
}

/** The sequence that executors and caches know. */
export function presentSequence(sequence: Sequence): Sequence {
  return sequence instanceof MovableSequence ? sequence.present : sequence;
}

class MovableSequence implements Sequence {
  #present: Sequence;
  readonly #onClose: () => void;

  constructor(present: Sequence, onClose: () => void) {
    this.#present = present;
    this.#onClose = onClose;
  }

  get present(): Sequence {
    return this.#present;
  }

  get committed(): number {
    return this.#present.committed;
  }

  get pending(): number {
    return this.#present.pending;
  }

  get pageAddresses(): readonly number[] {
    return this.#present.pageAddresses;
  }

  prepareToAppend(): readonly CacheMoveRow[] {
    return this.#present.prepareToAppend();
  }

  reserve(rowCount: number): void {
    this.#present.reserve(rowCount);
  }

  append(parent: number): CacheRow {
    return this.#present.append(parent);
  }

  commit(path: readonly number[], kept?: readonly number[]): readonly CacheMoveRow[] {
    return this.#present.commit(path, kept);
  }

  forget(length: number): void {
    this.#present.forget(length);
  }

  close(): void {
    this.#present.close();
    this.#onClose();
  }

  moveTo(next: Sequence): void {
    appendRows(next, this.#present.committed);
    this.#present = next;
  }
}

/** Committed rows that nothing was computed for. */
export function appendRows(sequence: Sequence, untilCommitted: number): void {
  const path: number[] = [];
  for (let row = sequence.committed; row < untilCommitted; row++)
    path.push(sequence.append(row - 1).cacheRow);
  sequence.commit(path);
}
