/** Index and value of the largest entry of each row; the lowest index wins among equals. */
import { type OpRule, operandOf } from '../rule.ts';

export interface Argmax {
  readonly op: 'argmax';
}

export const argmax: OpRule<Argmax> = {
  op: 'argmax',
  readsStep: false,
  infer(_, operands) {
    const input = operandOf(operands, 0, 'argmax');
    return { format: input.format, shape: [...input.shape.slice(0, -1), 2] };
  },
  /** Comparisons are exact. */
  errorBound: ({ result }) => new Float64Array(result.length),
};
