/**
 * Everything the device is asked for, in the order of the asking: writes, copies, programs. What finds the queue empty is
 * handed over at once; programs wait for the end of the caller's turn, so that those of one step go together.
 */

export interface Batched<Item> {
  readonly item: Item;
}

type Work<Item> = { readonly run: () => void } | Batched<Item>;

export class WorkQueue<Item> {
  readonly #waiting: Work<Item>[] = [];
  /** Hands consecutive items over; settles when what follows may be. */
  readonly #hand: (items: Item[]) => Promise<void> | undefined;
  readonly #onFailure: (failure: unknown) => void;
  #isDraining = false;

  /** `onFailure` is told what waiting work threw. */
  constructor(hand: (items: Item[]) => Promise<void> | undefined, onFailure: (failure: unknown) => void) {
    this.#hand = hand;
    this.#onFailure = onFailure;
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0 && !this.#isDraining;
  }

  /** Runs now, or after everything that waits. */
  run(run: () => void): void {
    if (this.isEmpty) run();
    else this.#waiting.push({ run });
  }

  add(item: Item): void {
    this.#waiting.push({ item });
    if (this.#isDraining) return;
    this.#isDraining = true;
    queueMicrotask(() => void this.#drain());
  }

  /** Takes items out that nobody has handed over. */
  remove(unwanted: (item: Item) => boolean): Item[] {
    const removed: Item[] = [];
    for (let index = this.#waiting.length - 1; index >= 0; index--) {
      const work = this.#waiting[index];
      if (!work || !('item' in work) || !unwanted(work.item)) continue;
      this.#waiting.splice(index, 1);
      removed.unshift(work.item);
    }
    return removed;
  }

  async #drain(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        const items: Item[] = [];
        for (let next = this.#waiting[0]; next && 'item' in next; next = this.#waiting[0]) {
          items.push(next.item);
          this.#waiting.shift();
        }
        const handing = items.length > 0 ? this.#hand(items) : undefined;
        if (handing) await handing;
        const next = this.#waiting[0];
        if (!next || 'item' in next) continue;
        this.#waiting.shift();
        try {
          next.run();
        } catch (failure) {
          this.#onFailure(failure);
        }
      }
    } finally {
      this.#isDraining = false;
    }
  }
}
