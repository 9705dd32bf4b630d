/** y = factor · x: multipliers of embeddings, residuals and logits. */
import { type OpRule, operandOf } from '../rule.ts';

export interface Scale {
  readonly op: 'scale';
  readonly factor: number;
}

export const scale: OpRule<Scale> = {
  op: 'scale',
  readsStep: false,
  inPlace: 0,
  infer: (_, operands) => operandOf(operands, 0, 'scale'),
  /** The factor is rounded once, and the product. */
  errorBound: ({ result, roundoff }) => result.map((value) => 2 * Math.abs(value) * roundoff.unit),
};
