/**
 * Chooses experts for every row: of the logits of all of them the `usedCount` largest, and how much each counts. The result
 * holds the numbers of the chosen, largest first (the lower number first among equals), then their weights in that order.
 * An optional second operand is added to what is compared, and to nothing else.
 */
import { expectDim, type OpRule, operandOf } from '../rule.ts';

export interface Route {
  readonly op: 'route';
  readonly expertCount: number;
  readonly usedCount: number;
  /**
   * What of a logit is compared and becomes a weight: its share of the softmax over all experts; its sigmoid; or the logit
   * itself, of which the weights are the softmax over the chosen.
   */
  readonly gating: 'softmax' | 'sigmoid' | 'softmax-of-chosen';
  /** Weights are divided by their sum, which counts as `leastSum` at least. */
  readonly normalize: boolean;
  /** Multiplies the weights at last. */
  readonly scale: number;
}

/** Smallest normal half, as llama.cpp has it. */
export const leastSum = 2 ** -14;

export const route: OpRule<Route> = {
  op: 'route',
  readsStep: false,
  infer({ expertCount, usedCount }, operands) {
    const logits = operandOf(operands, 0, 'route');
    expectDim(logits.shape[1], expertCount, 'route', logits);
    const bias = operands[1];
    if (bias) expectDim(bias.shape[0], expertCount, 'route', bias);
    return { format: logits.format, shape: [logits.shape[0] ?? 0, 2 * usedCount] };
  },
  /**
   * Numbers are exact; which are chosen is for the caller to make certain. A difference of logits is rounded once, which exp
   * turns into a relative error of u times the largest difference; a sum of n terms errs by n·u, and there are at most two
   * such sums and three divisions or products.
   */
  errorBound({ operation: { expertCount, usedCount }, operands, result, roundoff }) {
    const logits = operands[0]?.data ?? new Float64Array();
    return result.map((value, place) => {
      if (place % (2 * usedCount) < usedCount) return 0;
      const row = Math.floor(place / (2 * usedCount));
      const own = logits.subarray(row * expertCount, (row + 1) * expertCount);
      const spread = own.reduce((largest, logit) => Math.max(largest, Math.abs(logit)), 0) * 2;
      const share = 3 * roundoff.elementary + (2 * spread + expertCount + usedCount + 8) * roundoff.unit;
      return Math.abs(value) * share;
    });
  },
};
