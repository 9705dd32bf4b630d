/** y = factor · x. */
import { known } from '../../../base/error.ts';
import type { Operation } from '../../../graph.ts';
import type { ReferenceOp } from '../op-table.ts';

export const runScale: ReferenceOp<Extract<Operation, { op: 'scale' }>> = ({
  operation,
  operands,
  output,
}) => {
  const input = known(operands[0], 'operand');
  for (let row = 0; row < input.count; row++) {
    output.set(
      input.row(row).map((value) => value * operation.factor),
      row * input.width,
    );
  }
};
