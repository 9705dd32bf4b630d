/** How far a model's predictions lie from those of another file of the same model. */

export interface Divergence {
  /** Mean over the rows of KL(other ‖ this), in nats, and its standard error. */
  readonly meanKl: number;
  readonly meanKlError: number;
  /** Share of rows in which both have the same most likely token. */
  readonly topAgreement: number;
}

type Logits = Float32Array | Float64Array;

/** Of one window after the other: first the other file's rows, then this one's, in the same order. */
export class DivergenceMeter {
  readonly #kept: Logits[] = [];
  /** Of the row that `add` takes next. */
  #next = 0;
  #rows = 0;
  #sum = 0;
  #sumOfSquares = 0;
  #agreements = 0;

  /** Begins a window. */
  clear(): void {
    this.#kept.length = 0;
    this.#next = 0;
  }

  /** A row of the other file; copied. */
  keep(logits: Logits): void {
    this.#kept.push(logits.slice());
  }

  /** The same row of this file. */
  add(logits: Logits): void {
    const other = this.#kept[this.#next++] ?? new Float32Array();
    const kl = klDivergence(other, logits);
    this.#rows++;
    this.#sum += kl;
    this.#sumOfSquares += kl * kl;
    if (indexOfLargest(other) === indexOfLargest(logits)) this.#agreements++;
  }

  result(): Divergence {
    const meanKl = this.#sum / this.#rows;
    const variance = Math.max(0, this.#sumOfSquares / this.#rows - meanKl * meanKl);
    return {
      meanKl,
      meanKlError: Math.sqrt(variance / Math.max(1, this.#rows - 1)),
      topAgreement: this.#agreements / this.#rows,
    };
  }
}

/** Σ p (log p − log q) of the distributions that two rows of logits stand for. */
export function klDivergence(truth: Logits, guess: Logits): number {
  const [trueShift, guessShift] = [logSumExp(truth), logSumExp(guess)];
  let sum = 0;
  for (let id = 0; id < truth.length; id++) {
    const logTruth = (truth[id] ?? 0) - trueShift;
    sum += Math.exp(logTruth) * (logTruth - ((guess[id] ?? 0) - guessShift));
  }
  // Rounding may leave a little less than nothing.
  return Math.max(0, sum);
}

function logSumExp(logits: Logits): number {
  const largest = logits[indexOfLargest(logits)] ?? 0;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - largest);
  return largest + Math.log(sum);
}

function indexOfLargest(logits: Logits): number {
  let best = 0;
  for (let id = 1; id < logits.length; id++) if ((logits[id] ?? 0) > (logits[best] ?? 0)) best = id;
  return best;
}
