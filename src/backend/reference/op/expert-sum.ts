/** What the chosen experts gave, weighted and added in the order of the routes. */
import { known } from '../../../base/error.ts';
import type { Operation } from '../../../graph.ts';
import type { ReferenceOp } from '../op-table.ts';

export const runExpertSum: ReferenceOp<Extract<Operation, { op: 'expert-sum' }>> = ({
  operation: { usedCount },
  operands,
  output,
}) => {
  const [input, routes] = [known(operands[0], 'input'), known(operands[1], 'routes')];
  const width = input.width / usedCount;
  for (let row = 0; row < input.count; row++) {
    const [x, chosen] = [input.row(row), routes.row(row)];
    for (let column = 0; column < width; column++) {
      let sum = 0;
      for (let used = 0; used < usedCount; used++) {
        sum += (chosen[usedCount + used] ?? 0) * (x[used * width + column] ?? 0);
      }
      output[row * width + column] = sum;
    }
  }
};
