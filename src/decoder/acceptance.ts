/**
 * How likely the model says the next candidate too, learnt per kind of proposal: the share of candidates accepted among
 * those whose predecessors were all accepted. Old observations fade.
 */

/** What is believed before anything was seen, and how many observations that belief weighs. */
const prior = { share: 0.7, weight: 3 } as const;
/** An observation's weight shrinks by this with every later one of its kind, and with every occasion left unused. */
const fading = 0.97;
const unusedFading = 0.98;

export class Acceptance {
  readonly #accepted: Float64Array;
  readonly #tried: Float64Array;

  constructor(kinds: number) {
    this.#accepted = new Float64Array(kinds);
    this.#tried = new Float64Array(kinds);
  }

  /** In (0, 1). */
  share(kind: number): number {
    const accepted = (this.#accepted[kind] ?? 0) + prior.share * prior.weight;
    return accepted / ((this.#tried[kind] ?? 0) + prior.weight);
  }

  /** A proposal of this kind was possible but seemed not to pay; what is known about it grows old. */
  leave(kind: number): void {
    this.#accepted[kind] = (this.#accepted[kind] ?? 0) * unusedFading;
    this.#tried[kind] = (this.#tried[kind] ?? 0) * unusedFading;
  }

  /** A chain of `proposed` candidates of which the first `accepted` were right. */
  learn(kind: number, accepted: number, proposed: number): void {
    const tried = Math.min(accepted + 1, proposed);
    const kept = fading ** tried;
    this.#accepted[kind] = (this.#accepted[kind] ?? 0) * kept + accepted;
    this.#tried[kind] = (this.#tried[kind] ?? 0) * kept + tried;
  }

  /**
   * How long a chain of this kind pays: its k-th candidate is accepted with probability share^k, which must exceed the
   * cost of verifying it, in passes.
   */
  worthwhileLength(kind: number, rowCost: number): number {
    return Math.floor(Math.log(rowCost) / Math.log(this.share(kind)));
  }
}
