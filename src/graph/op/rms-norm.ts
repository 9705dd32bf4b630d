/** y = x / sqrt(mean(x²) + epsilon) · weight, row by row. */
import { expectDim, type OpRule, operandOf } from '../rule.ts';

export interface RmsNorm {
  readonly op: 'rms-norm';
  readonly epsilon: number;
}

export const rmsNorm: OpRule<RmsNorm> = {
  op: 'rms-norm',
  readsStep: false,
  inPlace: 0,
  infer(_, operands) {
    const [input, weight] = [operandOf(operands, 0, 'rms-norm'), operandOf(operands, 1, 'rms-norm')];
    expectDim(weight.shape[0], input.shape[1] ?? 0, 'rms-norm', weight);
    return input;
  },
  /** A sum of D squares has relative error D·u, its root half of that; three more roundings. */
  errorBound({ operands, result, roundoff }) {
    const size = operands[0]?.shape[1] ?? 0;
    return result.map((value) => Math.abs(value) * (size / 2 + 4) * roundoff.unit);
  },
};
