/** Sum of two tensors of one shape. */
import { known } from '../../../base/error.ts';
import type { Operation } from '../../../graph.ts';
import type { ReferenceOp } from '../op-table.ts';

export const runAdd: ReferenceOp<Extract<Operation, { op: 'add' }>> = ({ operands, output }) => {
  const [left, right] = [known(operands[0], 'left operand'), known(operands[1], 'right operand')];
  for (let row = 0; row < left.count; row++) {
    const [a, b] = [left.row(row), right.row(row)];
    for (let i = 0; i < left.width; i++) {
      output[row * left.width + i] = (a[i] ?? 0) + (b[i] ?? 0);
    }
  }
};
