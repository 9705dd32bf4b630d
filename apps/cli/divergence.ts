/** How far a model's predictions lie from those of another file of the same model. */
import { known } from '../../src/base/error.ts';

export interface Divergence {
  /** Mean over the rows of KL(other ‖ this), in nats, and its standard error. */
  readonly meanKl: number;
  readonly meanKlError: number;
  /** Share of rows in which both have the same most likely token. */
  readonly topAgreement: number;
}

type Logits = Float32Array | Float64Array;

/** What a row of logits predicts, kept to compare others with it. */
export class Prediction {
  readonly mostLikely: number;
  /** Rounded to float32, so that their sum is not quite 1. */
  readonly #probabilities: Float32Array;
  #sum = 0;
  /** Σ p log p. */
  #negativeEntropy = 0;

  constructor(logits: Logits) {
    const shift = logSumExp(logits);
    this.mostLikely = indexOfLargest(logits);
    this.#probabilities = new Float32Array(logits.length);
    for (let id = 0; id < logits.length; id++) {
      const logarithm = (logits[id] ?? 0) - shift;
      this.#probabilities[id] = Math.exp(logarithm);
      const probability = this.#probabilities[id] ?? 0;
      this.#sum += probability;
      this.#negativeEntropy += probability * logarithm;
    }
  }

  /** Σ p (log p − log q), in nats, q the distribution that `guess` stands for. */
  divergenceTo(guess: Logits): number {
    let products = 0;
    for (let id = 0; id < guess.length; id++) products += (this.#probabilities[id] ?? 0) * (guess[id] ?? 0);
    // Rounding may leave a little less than nothing.
    return Math.max(0, this.#negativeEntropy - products + this.#sum * logSumExp(guess));
  }
}

/** Of one window after the other: first the other file's rows, then this one's, in the same order. */
export class DivergenceMeter {
  readonly #kept: Prediction[] = [];
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

  /** A row of the other file. */
  keep(prediction: Prediction): void {
    this.#kept.push(prediction);
  }

  /** The same row of this file. */
  add(logits: Logits): void {
    const other = known(this.#kept[this.#next++], 'row of the other file');
    const kl = other.divergenceTo(logits);
    this.#rows++;
    this.#sum += kl;
    this.#sumOfSquares += kl * kl;
    if (other.mostLikely === indexOfLargest(logits)) this.#agreements++;
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

/** Of the distributions that two rows of logits stand for. */
export function klDivergence(truth: Logits, guess: Logits): number {
  return new Prediction(truth).divergenceTo(guess);
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
