/**
 * Feedback factors for a model's matrices, collected as the quantizer comes to them. A covariance takes 8 · columns² bytes, so
 * only those of the next few inputs are collected in one run of the calibration text.
 */
import { known } from '../base/error.ts';
import type { Checkpoint } from '../checkpoint.ts';
import { type CalibrationOptions, type Product, runCalibration } from './calibration-run.ts';
import { Covariance } from './error-feedback.ts';

export interface FeedbackOptions extends CalibrationOptions {
  /** Bytes that covariances may take at a time (1 GiB); there is always room for one. */
  readonly covarianceBytes?: number | undefined;
}

const defaultCovarianceBytes = 2 ** 30;

export class FeedbackCollector {
  readonly #checkpoint: Checkpoint;
  readonly #options: FeedbackOptions;
  /** Tensors that will be asked for, in that order. */
  readonly #wanted: readonly string[];
  /** Of the latest run: by tensor; tensors with one input share one. */
  #covariances = new Map<string, Covariance>();
  #latest: { readonly covariance: Covariance; readonly factor: Float32Array } | undefined;

  constructor(checkpoint: Checkpoint, wanted: readonly string[], options: FeedbackOptions) {
    this.#checkpoint = checkpoint;
    this.#wanted = wanted;
    this.#options = options;
  }

  /** The factor for a tensor of the list; undefined for one that is no dense product inside a layer. */
  async of(tensor: string): Promise<Float32Array | undefined> {
    if (!this.#wanted.includes(tensor)) return undefined;
    if (!this.#covariances.has(tensor)) await this.#collect(tensor);
    const covariance = this.#covariances.get(tensor);
    if (!covariance) return undefined;
    if (this.#latest?.covariance !== covariance) this.#latest = { covariance, factor: covariance.feedback() };
    return this.#latest.factor;
  }

  /** A run of the text for this tensor and as many of those behind it as there is room for. */
  async #collect(tensor: string): Promise<void> {
    const { covarianceBytes = defaultCovarianceBytes } = this.#options;
    const next = this.#wanted.slice(this.#wanted.indexOf(tensor));
    const byInput = new Map<Product['input'], Covariance>();
    this.#covariances = new Map();
    await runCalibration(
      this.#checkpoint,
      this.#options,
      (products) => {
        let bytes = 0;
        const chosen: Product[] = [];
        for (const name of next) {
          const product = products.find((one) => one.tensor === name && !one.routes && one.matrices === 1);
          if (!product) continue;
          if (!byInput.has(product.input)) {
            bytes += 8 * product.columns ** 2;
            if (bytes > covarianceBytes && chosen.length > 0) break;
            byInput.set(product.input, new Covariance(product.columns));
          }
          chosen.push(product);
          this.#covariances.set(name, known(byInput.get(product.input), 'covariance'));
        }
        return chosen;
      },
      (rows) => {
        for (const [input, covariance] of byInput) covariance.add(known(rows.get(input), 'observed input'));
      },
    );
  }
}
