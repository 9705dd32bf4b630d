/** y = limit · tanh(x / limit). */
import { known } from '../../../base/error.ts';
import type { Operation } from '../../../graph.ts';
import type { ReferenceOp } from '../op-table.ts';

export const runSoftcap: ReferenceOp<Extract<Operation, { op: 'softcap' }>> = (call) => {
  const { operation, operands, output } = call;
  const input = known(operands[0], 'operand');
  for (let row = 0; row < input.count; row++) {
    output.set(
      input.row(row).map((value) => operation.limit * Math.tanh(value / operation.limit)),
      row * input.width,
    );
  }
};
