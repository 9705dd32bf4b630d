/** y = x / sqrt(mean(x²) + epsilon) · weight (+ bias), row by row or part by part of a row (Zhang and Sennrich 2019). */
import type { OpRule } from '../rule.ts';
import { inferNorm, type Norm } from './norm-operands.ts';

export interface RmsNorm extends Norm {
  readonly op: 'rms-norm';
}

export const rmsNorm: OpRule<RmsNorm> = {
  op: 'rms-norm',
  readsStep: false,
  inPlace: 0,
  infer: (operation, operands) => inferNorm(operation, operands, 'rms-norm'),
  /** A sum of D squares has relative error D·u, its root half of that; three more roundings, and one of the bias's sum. */
  errorBound({ operation, operands, result, roundoff }) {
    const size = (operands[0]?.shape[1] ?? 0) / (operation.groups ?? 1);
    const bias = operands[2]?.data;
    return result.map((value, place) => {
      const added = bias?.[place % bias.length] ?? 0;
      return (Math.abs(value - added) * (size / 2 + 4) + Math.abs(value)) * roundoff.unit;
    });
  },
};
