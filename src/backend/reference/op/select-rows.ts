/** The rows of the step whose result is wanted, in the order the step names them. */
import { known } from '../../../base/error.ts';
import type { Operation } from '../../../graph.ts';
import type { ReferenceOp } from '../op-table.ts';

export const runSelectRows: ReferenceOp<Extract<Operation, { op: 'select-rows' }>> = (call) => {
  const input = known(call.operands[0], 'operand');
  call.step.selected.forEach((row, place) => {
    call.output.set(input.row(row), place * input.width);
  });
};
