/**
 * The tokens that may still be drawn, in ascending order of id, and the filters that thin them out. The draw inverts the
 * cumulative distribution in that order, so nothing needs sorting and a small change of the logits moves the limits
 * between tokens only a little. Buffers are made once.
 */
import { BestLogits } from './best-logits.ts';
import type { Candidate } from './candidate-tree.ts';
import { type LogitRow, throwBadLogit, throwNothingLeft } from './logits.ts';
import { lastOfNucleus } from './nucleus.ts';

export class Candidates {
  #count = 0;
  #greatest = Number.NEGATIVE_INFINITY;
  readonly #best: BestLogits | undefined;
  readonly #ids: Int32Array;
  readonly #logits: Float64Array;
  readonly #weights: Float64Array;
  /** Index buffer of top-p; empty until top-p is first asked for. */
  #order = new Int32Array(0);

  /** `topK` 0 keeps every token. */
  constructor(vocabularySize: number, topK: number) {
    const capacity = topK === 0 ? vocabularySize : Math.min(topK, vocabularySize);
    this.#best = capacity < vocabularySize ? new BestLogits(capacity) : undefined;
    this.#ids = this.#best?.ids ?? new Int32Array(capacity);
    this.#logits = this.#best?.logits ?? new Float64Array(capacity);
    this.#weights = new Float64Array(capacity);
  }

  /** Starts over with the `topK` likeliest tokens of a row, or all of them; banned ones (-Infinity) are left out. */
  take(row: LogitRow): void {
    if (this.#best) {
      this.#best.fill(row);
      this.#best.sortById(row);
      this.#count = this.#best.count;
      this.#greatest = this.#best.greatest;
    } else this.#takeAll(row);
    if (this.#count === 0) throwNothingLeft();
  }

  /** Keeps the smallest set of likeliest tokens whose probability, among the candidates, is at least `topP`. */
  keepTopP(topP: number): void {
    if (topP >= 1 || this.#count === 1) return;
    if (this.#order.length === 0) this.#order = new Int32Array(this.#ids.length);
    const total = this.#weigh(1);
    const [logits, weights, count, order] = [this.#logits, this.#weights, this.#count, this.#order];
    const last = lastOfNucleus({ logits, weights, count, total, order }, topP);
    this.#keep(logits[last] as number, last);
  }

  /** Keeps the tokens at least `minP` times as likely as the likeliest. */
  keepMinP(minP: number): void {
    if (minP <= 0) return;
    this.#keep(this.#greatest + Math.log(minP), this.#count);
  }

  /** The token at `uniform` (in [0, 1)) of the cumulative distribution of logits / temperature. */
  draw(temperature: number, uniform: number): number {
    const total = this.#weigh(temperature);
    const wanted = uniform * total;
    let reached = 0;
    let drawn = -1;
    for (let index = 0; index < this.#count; index++) {
      const weight = this.#weights[index] as number;
      if (weight === 0) continue;
      drawn = this.#ids[index] as number;
      reached += weight;
      if (reached > wanted) break;
    }
    return drawn;
  }

  /**
   * The tokens that `draw` would likely give from a distribution near this one, likeliest first, at most `count`: their
   * intervals of the cumulative distribution, weighted by a Laplace density of scale `shift` around `uniform`.
   */
  around(temperature: number, uniform: number, shift: number, count: number): Candidate[] {
    const total = this.#weigh(temperature);
    const found: Candidate[] = [];
    const below = (value: number): number => laplaceBelow(value, uniform, shift);
    const whole = below(1) - below(0);
    // The density is nowhere greater, so most of a large vocabulary needs no closer look.
    const mostDensity = 1 / (2 * shift * whole);
    let [reached, least] = [0, 0];
    for (let index = 0; index < this.#count; index++) {
      const weight = this.#weights[index] as number;
      const from = reached / total;
      reached += weight;
      if ((weight / total) * mostDensity <= least || weight === 0) continue;
      const to = reached / total;
      const share = (below(to) - below(from)) / whole;
      if (share <= least) continue;
      if (found.length === count) found.pop();
      let place = found.length;
      while (place > 0 && (found[place - 1] as Candidate).share < share) place--;
      const distance = Math.max(0, from - uniform, uniform - to);
      found.splice(place, 0, { token: this.#ids[index] as number, share, distance });
      if (found.length === count) least = (found[count - 1] as Candidate).share;
    }
    return found;
  }

  #takeAll(row: LogitRow): void {
    const [ids, logits] = [this.#ids, this.#logits];
    let count = 0;
    let greatest = Number.NEGATIVE_INFINITY;
    for (let id = 0; id < row.length; id++) {
      const logit = row[id] as number;
      if (logit === Number.NEGATIVE_INFINITY) continue;
      if (!(logit < Number.POSITIVE_INFINITY)) throwBadLogit(id, logit);
      ids[count] = id;
      logits[count++] = logit;
      if (logit > greatest) greatest = logit;
    }
    this.#count = count;
    this.#greatest = greatest;
  }

  /** Sets the weights exp((logit - greatest) / temperature); returns their sum. */
  #weigh(temperature: number): number {
    const [logits, weights, count, greatest] = [this.#logits, this.#weights, this.#count, this.#greatest];
    let total = 0;
    for (let index = 0; index < count; index++) {
      const weight = Math.exp(((logits[index] as number) - greatest) / temperature);
      weights[index] = weight;
      total += weight;
    }
    return total;
  }

  /** Keeps logits above `least`, and those equal to it up to index `lastEqual`. */
  #keep(least: number, lastEqual: number): void {
    const [ids, logits] = [this.#ids, this.#logits];
    let kept = 0;
    for (let index = 0; index < this.#count; index++) {
      const logit = logits[index] as number;
      if (logit < least || (logit === least && index > lastEqual)) continue;
      ids[kept] = ids[index] as number;
      logits[kept++] = logit;
    }
    this.#count = kept;
  }
}

/** Cumulative distribution function of the Laplace distribution. */
function laplaceBelow(value: number, centre: number, scale: number): number {
  const distance = (value - centre) / scale;
  return distance < 0 ? 0.5 * Math.exp(distance) : 1 - 0.5 * Math.exp(-distance);
}
