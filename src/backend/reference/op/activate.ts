/** y = f(x), value by value. */
import { known } from '../../../base/error.ts';
import type { Operation } from '../../../graph.ts';
import type { ReferenceOp } from '../op-table.ts';
import { activations } from './activation.ts';

export const runActivate: ReferenceOp<Extract<Operation, { op: 'activate' }>> = (call) => {
  const { operation, operands, output } = call;
  const activate = activations[operation.activation];
  const input = known(operands[0], 'operand');
  for (let row = 0; row < input.count; row++) output.set(input.row(row).map(activate), row * input.width);
};
