/**
 * Rotary position embedding (Su et al., RoFormer): in every head, pair i of the first `2 · frequencies.length` values is
 * turned by position · frequencies[i] and scaled by `magnitude`; the rest stays.
 */
import { expectDim, type OpRule, operandOf } from '../rule.ts';

export interface Rope {
  readonly op: 'rope';
  readonly headCount: number;
  readonly headSize: number;
  /** `adjacent`: values 2i and 2i+1 form pair i. `split`: values i and i + n/2 of the n rotated ones. */
  readonly pairing: 'adjacent' | 'split';
  /** Radians per position, any scaling (linear, llama3, yarn) already in them. */
  readonly frequencies: readonly number[];
  readonly magnitude: number;
}

export const rope: OpRule<Rope> = {
  op: 'rope',
  readsStep: true,
  inPlace: 0,
  infer(operation, operands) {
    const input = operandOf(operands, 0, 'rope');
    expectDim(input.shape[1], operation.headCount * operation.headSize, 'rope', input);
    return input;
  },
  /** The angle is computed in float64 and rounded once as sine and cosine: |pair| · (elementary + 3u). */
  errorBound({ operation, operands, result, roundoff }) {
    const input = operands[0]?.data ?? new Float64Array();
    const half = operation.frequencies.length;
    return result.map((_, place) => {
      const within = place % operation.headSize;
      if (within >= 2 * half) return 0;
      const partner =
        operation.pairing === 'adjacent' ? place ^ 1 : within < half ? place + half : place - half;
      const size = Math.hypot(input[place] ?? 0, input[partner] ?? 0) * operation.magnitude;
      return size * (2 * roundoff.elementary + 3 * roundoff.unit);
    });
  },
};
