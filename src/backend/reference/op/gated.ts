/** y = f(gate) · up. */
import { known } from '../../../base/error.ts';
import type { Gating, Operation } from '../../../graph.ts';
import type { ReferenceOp } from '../op-table.ts';
import { activations } from './activation.ts';

export const runGated: ReferenceOp<Extract<Operation, { op: 'gated' }>> = ({
  operation,
  operands,
  output,
}) => {
  const combine = gateOf(operation);
  const [gates, ups] = [known(operands[0], 'gate'), known(operands[1], 'up')];
  for (let row = 0; row < gates.count; row++) {
    const [gate, up] = [gates.row(row), ups.row(row)];
    for (let i = 0; i < gates.width; i++) {
      output[row * gates.width + i] = combine(gate[i] ?? 0, up[i] ?? 0);
    }
  }
};

function gateOf(gating: Gating): (gate: number, up: number) => number {
  if (gating.activation !== 'swiglu-clamped') {
    const activate = activations[gating.activation];
    return (gate, up) => activate(gate) * up;
  }
  const { alpha, limit } = gating;
  return (gate, up) => {
    const [g, v] = [Math.min(gate, limit), Math.min(Math.max(up, -limit), limit)];
    return (g / (1 + Math.exp(-alpha * g))) * (v + 1);
  };
}
