/** Activation of a feed-forward block without a gate: y = f(x), value by value. */
import { type OpRule, operandOf } from '../rule.ts';
import { type Activation, activationBound } from './activation.ts';

export interface Activate {
  readonly op: 'activate';
  readonly activation: Activation;
}

export const activate: OpRule<Activate> = {
  op: 'activate',
  readsStep: false,
  inPlace: 0,
  infer: (_, operands) => operandOf(operands, 0, 'activate'),
  errorBound: ({ operation, operands, result, roundoff }) =>
    result.map((_, place) => activationBound(operation.activation, operands[0]?.data[place] ?? 0, roundoff)),
};
