/** Index and value of the largest entry of each row; the lowest index among equals. */
import { known } from '../../../base/error.ts';
import type { Operation } from '../../../graph.ts';
import type { ReferenceOp } from '../op-table.ts';

export const runArgmax: ReferenceOp<Extract<Operation, { op: 'argmax' }>> = ({ operands, output }) => {
  const input = known(operands[0], 'operand');
  for (let row = 0; row < input.count; row++) {
    let index = 0;
    let largest = Number.NEGATIVE_INFINITY;
    input.row(row).forEach((value, place) => {
      if (value > largest) {
        index = place;
        largest = value;
      }
    });
    output[row * 2] = index;
    output[row * 2 + 1] = largest;
  }
};
