/** y = f(gate) · up. */
import { known } from '../../../base/error.ts';
import type { Operation } from '../../../graph.ts';
import type { ReferenceOp } from '../op-table.ts';

type Gated = Extract<Operation, { op: 'gated' }>;

const activations: { readonly [Name in Gated['activation']]: (x: number) => number } = {
  silu: (x) => x / (1 + Math.exp(-x)),
};

export const runGated: ReferenceOp<Gated> = ({ operation, operands, output }) => {
  const activate = activations[operation.activation];
  const [gates, ups] = [known(operands[0], 'gate'), known(operands[1], 'up')];
  for (let row = 0; row < gates.count; row++) {
    const [gate, up] = [gates.row(row), ups.row(row)];
    for (let i = 0; i < gates.width; i++) {
      output[row * gates.width + i] = activate(gate[i] ?? 0) * (up[i] ?? 0);
    }
  }
};
