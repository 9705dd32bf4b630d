/**
 * The k greatest logits of a row, found in one pass: a heap of k ids whose root is the worst kept, so that almost every
 * entry costs one comparison. Among equal logits the lowest id is better. Tokens of logit -Infinity are never kept.
 */
import { type LogitRow, throwBadLogit } from './logits.ts';

export class BestLogits {
  /** The first `count` are valid. */
  readonly ids: Int32Array;
  readonly logits: Float64Array;
  count = 0;
  greatest = Number.NEGATIVE_INFINITY;

  constructor(capacity: number) {
    this.ids = new Int32Array(capacity);
    this.logits = new Float64Array(capacity);
  }

  /** Leaves the kept entries in no particular order. */
  fill(row: LogitRow): void {
    const capacity = this.ids.length;
    this.count = 0;
    this.greatest = Number.NEGATIVE_INFINITY;
    let threshold = Number.NEGATIVE_INFINITY;
    for (let id = 0; id < row.length; id++) {
      const logit = row[id] as number;
      if (logit <= threshold) continue;
      if (!(logit < Number.POSITIVE_INFINITY)) throwBadLogit(id, logit);
      if (logit > this.greatest) this.greatest = logit;
      if (this.count < capacity) this.#rise(this.count++, id, logit);
      else this.#sink(0, id, logit, capacity);
      if (this.count === capacity) threshold = this.logits[0] as number;
    }
  }

  /** Ascending ids, as the draw wants them. */
  sortById(row: LogitRow): void {
    this.ids.subarray(0, this.count).sort();
    for (let index = 0; index < this.count; index++) {
      this.logits[index] = row[this.ids[index] as number] as number;
    }
  }

  /** The greatest first. */
  sortByLogit(): void {
    for (let end = this.count - 1; end > 0; end--) {
      const [id, logit] = [this.ids[end] as number, this.logits[end] as number];
      this.ids[end] = this.ids[0] as number;
      this.logits[end] = this.logits[0] as number;
      this.#sink(0, id, logit, end);
    }
  }

  #isWorse(index: number, id: number, logit: number): boolean {
    const other = this.logits[index] as number;
    return other < logit || (other === logit && (this.ids[index] as number) > id);
  }

  #put(index: number, id: number, logit: number): void {
    this.ids[index] = id;
    this.logits[index] = logit;
  }

  #rise(start: number, id: number, logit: number): void {
    let index = start;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (this.#isWorse(parent, id, logit)) break;
      this.#put(index, this.ids[parent] as number, this.logits[parent] as number);
      index = parent;
    }
    this.#put(index, id, logit);
  }

  #sink(start: number, id: number, logit: number, end: number): void {
    let index = start;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= end) break;
      const right = child + 1;
      if (right < end && this.#isWorse(right, this.ids[child] as number, this.logits[child] as number)) {
        child = right;
      }
      if (!this.#isWorse(child, id, logit)) break;
      this.#put(index, this.ids[child] as number, this.logits[child] as number);
      index = child;
    }
    this.#put(index, id, logit);
  }
}
