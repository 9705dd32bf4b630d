/** y = (x - mean(x)) / sqrt(variance(x) + epsilon) · weight (+ bias), part by part. */
import type { Operation } from '../../../graph.ts';
import type { ReferenceOp } from '../op-table.ts';
import { normalizeParts } from './normalize.ts';

export const runLayerNorm: ReferenceOp<Extract<Operation, { op: 'layer-norm' }>> = (call) => {
  normalizeParts(call, (x) => {
    const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
    const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
    const size = Math.sqrt(variance + call.operation.epsilon);
    return x.map((value) => (value - mean) / size);
  });
};
