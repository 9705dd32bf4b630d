/** y = x / sqrt(mean(x²) + epsilon) · weight (+ bias), part by part. */
import type { Operation } from '../../../graph.ts';
import type { ReferenceOp } from '../op-table.ts';
import { normalizeParts } from './normalize.ts';

export const runRmsNorm: ReferenceOp<Extract<Operation, { op: 'rms-norm' }>> = (call) => {
  normalizeParts(call, (x) => {
    const meanSquare = x.reduce((sum, value) => sum + value * value, 0) / x.length;
    const size = Math.sqrt(meanSquare + call.operation.epsilon);
    return x.map((value) => value / size);
  });
};
