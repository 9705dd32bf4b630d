/** Products of each row by the weights of its chosen experts. Every row of W that is wanted is decoded once. */
import { known } from '../../../base/error.ts';
import type { Operation } from '../../../graph.ts';
import type { ReferenceOp } from '../op-table.ts';

export const runExpertMatmul: ReferenceOp<Extract<Operation, { op: 'expert-matmul' }>> = ({
  operation: { expertCount, usedCount },
  operands,
  output,
}) => {
  const [input, weight] = [known(operands[0], 'input'), known(operands[1], 'weight')];
  const [routes, bias] = [known(operands[2], 'routes'), operands[3]?.row(0)];
  const [columns, inner] = [weight.count / expertCount, weight.width];
  /** By expert: what each of its rows is multiplied with, and where the result goes. */
  const wanted = Array.from({ length: expertCount }, (): { x: Float64Array; y: Float64Array }[] => []);
  for (let row = 0; row < input.count; row++) {
    for (let used = 0; used < usedCount; used++) {
      const start = input.width === inner ? 0 : used * inner;
      const place = (row * usedCount + used) * columns;
      wanted[routes.row(row)[used] ?? 0]?.push({
        x: input.row(row).subarray(start, start + inner),
        y: output.subarray(place, place + columns),
      });
    }
  }
  wanted.forEach((products, expert) => {
    for (let column = 0; products.length > 0 && column < columns; column++) {
      const w = weight.row(expert * columns + column);
      for (const { x, y } of products) {
        let sum = 0;
        for (let k = 0; k < inner; k++) sum += (x[k] ?? 0) * (w[k] ?? 0);
        y[column] = sum + (bias?.[expert * columns + column] ?? 0);
      }
    }
  });
};
