/** Log-probabilities of a row: logit - log(sum of exp(logit)), in float64, of the logits as the model gave them. */
import { NearfieldError } from '../base/error.ts';
import type { TokenLogprob } from '../decoder.ts';
import { BestLogits } from './best-logits.ts';
import type { LogitRow } from './logits.ts';

export interface RowLogprobs {
  readonly logprob: number;
  /** The likeliest first. */
  readonly top: readonly TokenLogprob[];
}

/** log(sum of exp(logit)) with `greatest` the greatest logit. */
function logSumExp(logits: LogitRow, greatest: number): number {
  let sum = 0;
  for (let id = 0; id < logits.length; id++) sum += Math.exp((logits[id] as number) - greatest);
  return greatest + Math.log(sum);
}

export class LogprobReader {
  readonly #best: BestLogits;

  /** `count`: how many of the likeliest tokens to name, from 1 to the vocabulary's size. */
  constructor(count: number, vocabularySize: number) {
    if (!Number.isInteger(count) || count < 1 || count > vocabularySize) {
      throw new NearfieldError(
        'bad-argument',
        `logprobs is ${count}; it must be an integer from 0 (off) to ${vocabularySize}`,
      );
    }
    this.#best = new BestLogits(count);
  }

  /** `[V]` logits; throws `backend` where one is NaN or +Infinity. */
  read(logits: LogitRow, id: number): RowLogprobs {
    const best = this.#best;
    best.fill(logits);
    best.sortByLogit();
    const normalizer = logSumExp(logits, best.greatest);
    const top: TokenLogprob[] = [];
    for (let index = 0; index < best.count; index++) {
      top.push({ id: best.ids[index] ?? 0, logprob: (best.logits[index] ?? 0) - normalizer });
    }
    return { logprob: (logits[id] ?? Number.NEGATIVE_INFINITY) - normalizer, top };
  }
}
