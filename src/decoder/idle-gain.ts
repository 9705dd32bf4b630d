/**
 * Whether drafting beside a verification pays. It saves a pass of the draft later where the token was right; but where the
 * machine is less idle than it seems (reads that are copies in memory, say) it makes the verification longer. Both are
 * measured; now and then the other way is tried, so that they stay current.
 */

const fading = 0.8;
/** Before anything was seen: the share of such tokens that are of use. */
const assumedShare = 0.3;
/** Verifications of which one is left alone where it pays, and one tried where it does not. */
const [pauseEvery, tryEvery] = [16, 32];

export class IdleGain {
  /** Milliseconds that a pass of the draft adds to the verification. */
  #extraMs = 0;
  #kept = assumedShare;
  #turn = 0;

  /** Milliseconds of a verification that are owed to passes of the draft beside it. */
  extraOf(passes: number): number {
    return passes * this.#extraMs;
  }

  /** Whether to draft beside the next verification; `draftMs` is what a pass takes otherwise. */
  isWorth(draftMs: number): boolean {
    this.#turn++;
    const pays = this.#extraMs < this.#kept * draftMs;
    return pays ? this.#turn % pauseEvery !== 0 : this.#turn % tryEvery === 0;
  }

  /** A verification with passes of the draft beside it took so much longer than one without. */
  observe(passes: number, extraMs: number): void {
    if (passes > 0) this.#extraMs = fading * this.#extraMs + ((1 - fading) * Math.max(0, extraMs)) / passes;
  }

  settle(kept: number, dropped: number): void {
    if (kept + dropped > 0) this.#kept = fading * this.#kept + ((1 - fading) * kept) / (kept + dropped);
  }
}
