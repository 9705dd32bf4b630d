/**
 * Draws the model's own next token from its logits. The order is that of llama.cpp's default chain:
 *
 *   logit bias → penalties → top-k → top-p → min-p → temperature → draw
 *
 * The filters therefore see the probabilities at temperature 1, top-p among what top-k left, min-p relative to the
 * likeliest token. Temperature 0 takes the greatest logit after bias and penalties. Equal logits: the lowest id is the
 * likelier. The random number is a function of the seed and of the token's position only, so a token is the same
 * whichever proposer foresaw it, in whichever step it was verified.
 */
import { uniformAt } from '../base/random.ts';
import type { SamplingOptions } from '../decoder.ts';
import { Candidates } from './candidates.ts';
import { greatestId, type LogitRow } from './logits.ts';
import { PenaltyWindow } from './penalty-window.ts';
import { resolveSampling, type Sampling } from './sampling-options.ts';

export class Sampler {
  /** False where the arg-max of the unchanged logits is all it takes. */
  readonly needsLogits: boolean;
  /** The options, completed. */
  readonly sampling: Sampling;
  readonly #window: PenaltyWindow;
  /** Undefined where sampling is greedy. */
  readonly #candidates: Candidates | undefined;
  /** The logits after bias and penalties; empty where there are none. */
  readonly #adjusted: Float64Array;

  /** `history`: all tokens before the first draw, for the penalties. Throws `bad-argument` for options out of range. */
  constructor(options: SamplingOptions, vocabularySize: number, history: readonly number[]) {
    this.sampling = resolveSampling(options, vocabularySize);
    this.#window = new PenaltyWindow(this.sampling, history);
    const { temperature, topK, logitBias } = this.sampling;
    const isGreedy = temperature === 0 || topK === 1;
    const isAdjusted = this.#window.active || logitBias.size > 0;
    this.#candidates = isGreedy ? undefined : new Candidates(vocabularySize, topK);
    this.#adjusted = new Float64Array(isAdjusted ? vocabularySize : 0);
    this.needsLogits = isAdjusted || !isGreedy;
  }

  /**
   * The token for `position` (its index in the sequence) given the logits `[V]` of the row before it. Throws `backend` for
   * logits that are NaN or +Infinity, `bad-argument` if the bias leaves no token.
   */
  draw(logits: LogitRow, position: number): number {
    const row = this.#adjust(logits);
    const { temperature, topP, minP, seed } = this.sampling;
    const candidates = this.#candidates;
    if (!candidates) return greatestId(row);
    candidates.take(row);
    candidates.keepTopP(topP);
    candidates.keepMinP(minP);
    return candidates.draw(temperature, uniformAt(seed, position));
  }

  /** Adds a token to what the penalties look at. */
  accept(id: number): void {
    this.#window.push(id);
  }

  #adjust(logits: LogitRow): LogitRow {
    const adjusted = this.#adjusted;
    if (adjusted.length === 0) return logits;
    adjusted.set(logits);
    for (const [id, bias] of this.sampling.logitBias) adjusted[id] = (adjusted[id] ?? 0) + bias;
    this.#window.apply(adjusted);
    return adjusted;
  }
}
