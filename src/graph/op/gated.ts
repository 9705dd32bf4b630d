/** Gated activation of a feed-forward block: y = f(gate) · up, in the forms that `Gating` lists. */
import { expectDim, type OpRule, operandOf } from '../rule.ts';
import { activationBound, type Gating } from './activation.ts';

export type Gated = { readonly op: 'gated' } & Gating;

export const gated: OpRule<Gated> = {
  op: 'gated',
  readsStep: false,
  inPlace: 0,
  infer(_, operands) {
    const [gate, up] = [operandOf(operands, 0, 'gated'), operandOf(operands, 1, 'gated')];
    expectDim(up.shape[1], gate.shape[1] ?? 0, 'gated', up);
    return gate;
  },
  /** That of the function times the other factor, and the product's own; a clamped gate is a `silu`, stretched. */
  errorBound({ operation, operands, result, roundoff }) {
    const [gate, up] = [operands[0]?.data, operands[1]?.data];
    return result.map((value, place) => {
      const [x, other] = [gate?.[place] ?? 0, Math.abs(up?.[place] ?? 0)];
      const product = 2 * Math.abs(value) * roundoff.unit;
      if (operation.activation !== 'swiglu-clamped')
        return activationBound(operation.activation, x, roundoff) * other + product;
      const clamped = Math.min(x, operation.limit);
      return activationBound('silu', clamped, roundoff) * (Math.min(other, operation.limit) + 1) + product;
    });
  },
};
