/** Sum of two tensors of one shape: the residual connection. */
import { expectDim, type OpRule, operandOf } from '../rule.ts';

export interface Add {
  readonly op: 'add';
}

export const add: OpRule<Add> = {
  op: 'add',
  readsStep: false,
  inPlace: 0,
  infer(_, operands) {
    const [left, right] = [operandOf(operands, 0, 'add'), operandOf(operands, 1, 'add')];
    left.shape.forEach((size, axis) => {
      expectDim(right.shape[axis], size, 'add', right);
    });
    return left;
  },
  /** One rounding. */
  errorBound: ({ result, roundoff }) => result.map((value) => Math.abs(value) * roundoff.unit),
};
