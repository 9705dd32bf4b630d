/** The rows of the step whose result is wanted, in the order the step names them. */
import { type OpRule, operandOf } from '../rule.ts';

export interface SelectRows {
  readonly op: 'select-rows';
}

export const selectRows: OpRule<SelectRows> = {
  op: 'select-rows',
  readsStep: true,
  infer(_, operands, { selected }) {
    const input = operandOf(operands, 0, 'select-rows');
    return { format: input.format, shape: [selected, ...input.shape.slice(1)] };
  },
  /** A copy. */
  errorBound: ({ result }) => new Float64Array(result.length),
};
