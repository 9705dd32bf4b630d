/** Gated activation of a feed-forward block: y = f(gate) · up. */
import { expectDim, type OpRule, operandOf } from '../rule.ts';

export interface Gated {
  readonly op: 'gated';
  /** `silu`: x / (1 + e^-x). */
  readonly activation: 'silu';
}

export const gated: OpRule<Gated> = {
  op: 'gated',
  readsStep: false,
  inPlace: 0,
  infer(_, operands) {
    const [gate, up] = [operandOf(operands, 0, 'gated'), operandOf(operands, 1, 'gated')];
    expectDim(up.shape[1], gate.shape[1] ?? 0, 'gated', up);
    return gate;
  },
  /** exp with its relative error, an addition, a division, a product: |y| · (elementary + 4u). */
  errorBound: ({ result, roundoff }) =>
    result.map((value) => Math.abs(value) * (roundoff.elementary + 4 * roundoff.unit)),
};
