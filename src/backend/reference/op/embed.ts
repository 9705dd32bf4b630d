/** The row of the embedding matrix for each token of the step. */
import { known } from '../../../base/error.ts';
import type { Operation } from '../../../graph.ts';
import type { ReferenceOp } from '../op-table.ts';

export const runEmbed: ReferenceOp<Extract<Operation, { op: 'embed' }>> = ({ operands, output, step }) => {
  const table = known(operands[0], 'embedding matrix');
  step.rows.forEach(({ token }, index) => {
    output.set(table.row(token), index * table.width);
  });
};
