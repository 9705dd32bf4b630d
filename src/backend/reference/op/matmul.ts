/** y = x Wᵀ (+ b): each result one sum over ascending k, then the bias. Every row of W is decoded once. */
import { known } from '../../../base/error.ts';
import type { Operation } from '../../../graph.ts';
import type { ReferenceOp } from '../op-table.ts';

export const runMatmul: ReferenceOp<Extract<Operation, { op: 'matmul' }>> = ({ operands, output }) => {
  const [input, weight] = [known(operands[0], 'input'), known(operands[1], 'weight')];
  const bias = operands[2]?.row(0);
  const inputRows = Array.from({ length: input.count }, (_, row) => input.row(row));
  for (let column = 0; column < weight.count; column++) {
    const w = weight.row(column);
    inputRows.forEach((x, row) => {
      let sum = 0;
      for (let k = 0; k < x.length; k++) sum += (x[k] ?? 0) * (w[k] ?? 0);
      output[row * weight.count + column] = sum + (bias?.[column] ?? 0);
    });
  }
};
