/**
 * Items on their way to a slower reader. Each goes at once while the reader keeps up; otherwise they gather to batches,
 * and beyond a bound the writer waits, so that neither messages nor items pile up.
 */

/** Batches the reader has not taken yet; two, so that one is there while the other is on its way. */
const mostUnderWay = 2;
const mostAhead = 64;

export class PacedBatches<Item> {
  readonly #send: (batch: readonly Item[]) => void;
  readonly #underWay: number[] = [];
  #gathered: Item[] = [];
  #left = false;
  #released = false;
  #wake: () => void = () => {};

  constructor(send: (batch: readonly Item[]) => void) {
    this.#send = send;
  }

  push(item: Item): void {
    this.#gathered.push(item);
    if (this.#underWay.length < mostUnderWay) this.flush();
  }

  flush(): void {
    if (this.#gathered.length === 0) return;
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
    this.flush();
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
