/** A hash map from pairs of small integers to integers, in typed arrays: a vocabulary has half a million merges. */

export class PairMap {
  #first: Int32Array;
  #second: Int32Array;
  #value: Int32Array;
  #mask: number;
  #size = 0;
  // Drawn at random, so that no file can be made whose pairs all collide.
  readonly #multiplierA: number = oddRandom();
  readonly #multiplierB: number = oddRandom();

  constructor(expectedSize: number) {
    let capacity = 16;
    while (capacity < expectedSize * 2) capacity *= 2;
    this.#first = new Int32Array(capacity).fill(-1);
    this.#second = new Int32Array(capacity);
    this.#value = new Int32Array(capacity);
    this.#mask = capacity - 1;
  }

  /** The value of the pair, or -1. */
  get(first: number, second: number): number {
    const slot = this.#slot(first, second);
    return this.#first[slot] === -1 ? -1 : (this.#value[slot] ?? -1);
  }

  /** `first` is at least 0. Keeps what is there: returns the present value, or `value` where the pair was new. */
  add(first: number, second: number, value: number): number {
    const slot = this.#slot(first, second);
    if (this.#first[slot] !== -1) return this.#value[slot] ?? -1;
    this.#first[slot] = first;
    this.#second[slot] = second;
    this.#value[slot] = value;
    this.#size += 1;
    if (this.#size * 2 > this.#mask) this.#grow();
    return value;
  }

  #slot(first: number, second: number): number {
    let mixed = Math.imul(first, this.#multiplierA) + second;
    mixed = Math.imul(mixed ^ (mixed >>> 16), this.#multiplierB);
    let slot = (mixed ^ (mixed >>> 15)) & this.#mask;
    while (this.#first[slot] !== -1 && (this.#first[slot] !== first || this.#second[slot] !== second)) {
      slot = (slot + 1) & this.#mask;
    }
    return slot;
  }

  #grow(): void {
    const first = this.#first;
    const second = this.#second;
    const value = this.#value;
    const capacity = first.length * 2;
    this.#first = new Int32Array(capacity).fill(-1);
    this.#second = new Int32Array(capacity);
    this.#value = new Int32Array(capacity);
    this.#mask = capacity - 1;
    for (let slot = 0; slot < first.length; slot++) {
      const a = first[slot] ?? -1;
      if (a === -1) continue;
      const b = second[slot] ?? 0;
      const target = this.#slot(a, b);
      this.#first[target] = a;
      this.#second[target] = b;
      this.#value[target] = value[slot] ?? -1;
    }
  }
}

function oddRandom(): number {
  return Math.floor(Math.random() * 0x80000000) * 2 + 1;
}
