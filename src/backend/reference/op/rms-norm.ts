/** y = x / sqrt(mean(x²) + epsilon) · weight, row by row. */
import { known } from '../../../base/error.ts';
import type { Operation } from '../../../graph.ts';
import type { ReferenceOp } from '../op-table.ts';

export const runRmsNorm: ReferenceOp<Extract<Operation, { op: 'rms-norm' }>> = (call) => {
  const { operation, operands, output } = call;
  const [input, weight] = [known(operands[0], 'input'), known(operands[1], 'weight').row(0)];
  for (let row = 0; row < input.count; row++) {
    const x = input.row(row);
    const meanSquare = x.reduce((sum, value) => sum + value * value, 0) / input.width;
    const size = Math.sqrt(meanSquare + operation.epsilon);
    for (let i = 0; i < input.width; i++) {
      output[row * input.width + i] = ((x[i] ?? 0) / size) * (weight[i] ?? 0);
    }
  }
};
