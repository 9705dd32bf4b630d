/**
 * Reads from the draft's logits what may follow a token, and how confident the draft is of it. Where the target is decoded
 * greedily that is the draft's probability. Where it is sampled, the draw is foreseen: the target will draw by inverting
 * its cumulative distribution at a random number that is known already, so the tokens to expect are those whose interval
 * of the draft's own distribution lies at that number or near it. How near is learnt: two models that think alike have
 * nearly the same intervals.
 */
import { uniformAt } from '../base/random.ts';
import { BestLogits } from './best-logits.ts';
import type { Candidate } from './candidate-tree.ts';
import { Candidates } from './candidates.ts';
import type { LogitRow } from './logits.ts';
import { PenaltyWindow } from './penalty-window.ts';
import type { Sampling } from './sampling-options.ts';

/** Probabilities below exp(-25) of the greatest are nothing to a sum in which they are at most some hundred thousand. */
const negligible = 25;
/** Penalties that look at everything look this far back here: the draft's guess need not be exact. */
const longestWindow = 512;
/** Distance, in probability, from the random number to the token drawn: before any was seen, and of one not foreseen. */
const [assumedDistance, farDistance] = [0.05, 0.25];
/** The Laplace density's scale is so many times the mean distance, and no less than `leastShift`. */
const [shiftPerDistance, leastShift] = [2, 0.002];
const fading = 0.97;

export class CandidateReader {
  readonly #sampling: Sampling;
  readonly #best: BestLogits;
  readonly #candidates: Candidates | undefined;
  readonly #adjusted: Float64Array;
  readonly #penalizes: boolean;
  /** Mean distance of the tokens drawn of late. */
  #distance = assumedDistance;

  /** `vocabularySize`: ids that both models have. */
  constructor(sampling: Sampling, vocabularySize: number, count: number) {
    this.#sampling = sampling;
    this.#best = new BestLogits(Math.min(count, vocabularySize));
    const { temperature, topK, logitBias } = sampling;
    const isGreedy = temperature === 0 || topK === 1;
    this.#candidates = isGreedy ? undefined : new Candidates(vocabularySize, topK);
    this.#penalizes = new PenaltyWindow(sampling, []).active;
    const isAdjusted = this.#penalizes || logitBias.size > 0;
    this.#adjusted = new Float64Array(isAdjusted ? vocabularySize : 0);
  }

  /**
   * The likeliest first. `logits` `[V]`, of ids that both models have; `position` is that of the token to come; `history`
   * gives the tokens before it, asked for where penalties are in use.
   */
  read(logits: LogitRow, position: number, history: (most: number) => readonly number[]): Candidate[] {
    const row = this.#adjust(logits, history);
    const { temperature, topP, minP, seed } = this.#sampling;
    const candidates = this.#candidates;
    const count = this.#best.ids.length;
    if (!candidates) return this.#likeliest(row);
    candidates.take(row);
    candidates.keepTopP(topP);
    candidates.keepMinP(minP);
    const shift = Math.max(leastShift, shiftPerDistance * this.#distance);
    return candidates.around(temperature, uniformAt(seed, position), shift, count);
  }

  /** The target has drawn `token` where these candidates were read. */
  learn(candidates: readonly Candidate[], token: number): void {
    const drawn = candidates.find((candidate) => candidate.token === token);
    const distance = drawn ? (drawn.distance ?? 0) : farDistance;
    this.#distance = fading * this.#distance + (1 - fading) * distance;
  }

  #likeliest(row: LogitRow): Candidate[] {
    const best = this.#best;
    best.fill(row);
    best.sortByLogit();
    const least = best.greatest - negligible;
    let total = 0;
    for (let id = 0; id < row.length; id++) {
      const logit = row[id] as number;
      if (logit > least) total += Math.exp(logit - best.greatest);
    }
    return Array.from(best.ids.subarray(0, best.count), (token, index) => {
      return { token, share: Math.exp((best.logits[index] ?? 0) - best.greatest) / total };
    });
  }

  #adjust(logits: LogitRow, history: (most: number) => readonly number[]): LogitRow {
    const adjusted = this.#adjusted;
    if (adjusted.length === 0) return logits;
    adjusted.set(logits);
    for (const [id, bias] of this.#sampling.logitBias) {
      if (id < adjusted.length) adjusted[id] = (adjusted[id] ?? 0) + bias;
    }
    if (this.#penalizes) {
      const { penaltyWindow } = this.#sampling;
      const most = penaltyWindow < 0 ? longestWindow : Math.min(penaltyWindow, longestWindow);
      new PenaltyWindow(this.#sampling, history(most)).apply(adjusted);
    }
    return adjusted;
  }
}
