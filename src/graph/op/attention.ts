/**
 * Causal attention over a layer's cache. Row `t` attends to the cache rows the step's table lets it see (its own among
 * them), in logical order; with a window only to those whose position is greater than its own minus `window`.
 * y = softmax(scale · q Kᵀ) V, each group of `headCount / keyValueHeadCount` query heads sharing one key/value head.
 * A third operand, a weight of `headCount` values, is a score more for each head that takes part in the softmax's sum and
 * has no value (an attention sink: Xiao et al. 2023).
 */
import { expectDim, type OpRule, operandOf } from '../rule.ts';
import { softcapShare } from './softcap.ts';

export interface Attention {
  readonly op: 'attention';
  readonly layer: number;
  readonly headCount: number;
  readonly keyValueHeadCount: number;
  /** Size of a query and of a key; of a value. */
  readonly keySize: number;
  readonly valueSize: number;
  readonly scale: number;
  /** Rows seen at most, the row itself among them; undefined sees all. */
  readonly window?: number;
  /** Scaled scores s become softCap · tanh(s / softCap); undefined leaves them. */
  readonly softCap?: number;
}

export const attention: OpRule<Attention> = {
  op: 'attention',
  readsStep: true,
  cacheRead: ({ layer, window = Number.POSITIVE_INFINITY }) => ({ layer, rows: window }),
  infer(operation, operands, { rows }) {
    const query = operandOf(operands, 0, 'attention');
    expectDim(query.shape[1], operation.headCount * operation.keySize, 'attention', query);
    const sinks = operands[2];
    if (sinks) expectDim(sinks.shape[0], operation.headCount, 'attention', sinks);
    return { format: query.format, shape: [rows, operation.headCount * operation.valueSize] };
  },
  /**
   * A score is a dot product of `keySize` terms: its error is at most (keySize + 2)·u · scale · Σ|q||k|, and that sum at
   * most |q||k| in Euclidean norms. Softmax turns an absolute error e of the scores into a relative error 2e of the
   * weights; the weighted mean stays within max|v|. The case's operands after the query are the visible keys and values,
   * so their largest norms and magnitudes bound every row. A factor of 2 covers exp and the division. A cap lets errors of
   * scores through at most as they are and adds its own; a sink only takes weight away.
   */
  errorBound({ operation, operands, result, roundoff }) {
    const { keySize, scale, softCap } = operation;
    const [query, keys, values] = operands.map((operand) => operand.data);
    const visible = operands[1]?.shape[0] ?? 1;
    const scoreSize = scale * largestNorm(query, keySize) * largestNorm(keys, keySize);
    const capError = softCap === undefined ? 0 : Math.min(scoreSize, softCap) * softcapShare(roundoff);
    const scoreError = scoreSize * (keySize + 2) * roundoff.unit + capError;
    const weightError = 2 * scoreError + roundoff.elementary + (visible + 2) * roundoff.unit;
    return new Float64Array(result.length).fill(largestNorm(values, 1) * weightError * 2);
  },
};

/** Largest Euclidean norm of the parts of `size` values. */
function largestNorm(values: Float64Array | undefined, size: number): number {
  let largest = 0;
  let squares = 0;
  values?.forEach((value, index) => {
    squares = index % size === 0 ? value * value : squares + value * value;
    largest = Math.max(largest, squares);
  });
  return Math.sqrt(largest);
}
