/**
 * How often each token occurred among the latest ones, and the penalties that follow from it. For a token that occurred
 * n > 0 times: a positive logit is divided, any other multiplied by the repetition penalty (Keskar et al. 2019, CTRL);
 * then n · frequency + presence is subtracted. The order is llama.cpp's.
 */

export interface Penalties {
  readonly repetitionPenalty: number;
  readonly frequencyPenalty: number;
  readonly presencePenalty: number;
  /** Latest tokens looked at; -1 for all. */
  readonly penaltyWindow: number;
}

export class PenaltyWindow {
  readonly #penalties: Penalties;
  readonly #counts = new Map<number, number>();
  /** The tokens in the window, a ring; empty where the window is everything. */
  readonly #ring: Int32Array;
  #seen = 0;
  readonly active: boolean;

  /** `history` are the tokens so far. */
  constructor(penalties: Penalties, history: readonly number[]) {
    const { repetitionPenalty, frequencyPenalty, presencePenalty, penaltyWindow } = penalties;
    this.#penalties = penalties;
    this.active =
      penaltyWindow !== 0 && (repetitionPenalty !== 1 || frequencyPenalty !== 0 || presencePenalty !== 0);
    this.#ring = new Int32Array(this.active ? Math.max(penaltyWindow, 0) : 0);
    const first = penaltyWindow < 0 ? 0 : Math.max(0, history.length - penaltyWindow);
    for (let index = first; index < history.length; index++) this.push(history[index] ?? 0);
  }

  push(id: number): void {
    if (!this.active) return;
    const ring = this.#ring;
    if (ring.length > 0) {
      const place = this.#seen % ring.length;
      if (this.#seen >= ring.length) this.#forget(ring[place] ?? 0);
      ring[place] = id;
    }
    this.#seen++;
    this.#counts.set(id, (this.#counts.get(id) ?? 0) + 1);
  }

  apply(logits: Float64Array): void {
    const { repetitionPenalty, frequencyPenalty, presencePenalty } = this.#penalties;
    for (const [id, count] of this.#counts) {
      const logit = logits[id];
      if (logit === undefined) continue;
      const repeated = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
      logits[id] = repeated - count * frequencyPenalty - presencePenalty;
    }
  }

  #forget(id: number): void {
    const count = this.#counts.get(id) ?? 0;
    if (count > 1) this.#counts.set(id, count - 1);
    else this.#counts.delete(id);
  }
}
