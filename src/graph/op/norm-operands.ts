/** What the norms share: rows cut in equal parts, each normalized by itself, and weights for one part or for all. */
import type { TensorType } from '../../tensor.ts';
import { expectDim, operandOf } from '../rule.ts';

export interface Norm {
  readonly epsilon: number;
  /** Equal parts of a row, each normalized by itself (heads of a query); 1 unless said. */
  readonly groups?: number;
}

/** The input's type, where weight and bias hold a value for each of a row, or for each of a part. */
export function inferNorm({ groups = 1 }: Norm, operands: readonly TensorType[], op: string): TensorType {
  const input = operandOf(operands, 0, op);
  const width = input.shape[1] ?? 0;
  for (const vector of [operandOf(operands, 1, op), ...operands.slice(2)]) {
    const size = vector.shape[0] ?? 0;
    const ofPart = typeof width === 'number' && groups > 1 && size === width / groups;
    if (!ofPart) expectDim(size, width, op, vector);
  }
  return input;
}
