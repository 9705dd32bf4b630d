/**
 * Items on their way to a reader on another thread. One goes at once unless another went just before: what comes within a
 * frame of the screen goes together, since every message costs both threads as much as a good part of a token. While the
 * reader is behind they gather, and beyond a bound the writer waits, so that neither messages nor items pile up.
 */

/** Batches the reader has not taken yet; two, so that one is there while the other is on its way. */
const mostUnderWay = 2;
const mostAhead = 64;
const frameMs = 16;

export class PacedBatches<Item> {
  readonly #send: (batch: readonly Item[]) => void;
  readonly #underWay: number[] = [];
  #gathered: Item[] = [];
  #sentMs = Number.NEGATIVE_INFINITY;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #left = false;
  #released = false;
  #wake: () => void = () => {};

  constructor(send: (batch: readonly Item[]) => void) {
    this.#send = send;
  }

  push(item: Item): void {
    this.#gathered.push(item);
    this.#flushWhenDue();
  }

  #flushWhenDue(): void {
    if (this.#underWay.length >= mostUnderWay || this.#gathered.length === 0) return;
    const leftMs = this.#sentMs + frameMs - performance.now();
    if (leftMs <= 0) this.flush();
    else this.#timer ??= setTimeout(() => this.#endFrame(), leftMs);
  }

  #endFrame(): void {
    this.#timer = undefined;
    if (this.#underWay.length < mostUnderWay) this.flush();
  }

  /** Sends what is there; to be called when nothing more comes. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#gathered.length === 0) return;
    this.#sentMs = performance.now();
    this.#underWay.push(this.#gathered.length);
    this.#send(this.#gathered);
    this.#gathered = [];
  }

  /** Resolves when there is room for another item: true, or false where the reader wants no more. */
  async room(): Promise<boolean> {
    while (!this.#left && !this.#released && this.#ahead() >= mostAhead) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return !this.#left;
  }

  /** The reader is through with the oldest batch under way. */
  taken(): void {
    this.#underWay.shift();
    this.#flushWhenDue();
    this.#wake();
  }

  leave(): void {
    this.#left = true;
    this.#wake();
  }

  /** No waiting from now on: the writer is about to end. */
  release(): void {
    this.#released = true;
    this.#wake();
  }

  #ahead(): number {
    return this.#underWay.reduce((sum, count) => sum + count, this.#gathered.length);
  }
}
