/** A row of a matrix for each row of the step, by its token or its position. */
import { known } from '../../../base/error.ts';
import type { Operation } from '../../../graph.ts';
import type { ReferenceOp } from '../op-table.ts';

export const runEmbed: ReferenceOp<Extract<Operation, { op: 'embed' }>> = (call) => {
  const { operation, operands, output, step } = call;
  const table = known(operands[0], 'matrix');
  step.rows.forEach((row, index) => {
    output.set(table.row(row[operation.by ?? 'token']), index * table.width);
  });
};
