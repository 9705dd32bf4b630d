/** Chooses experts by their logits; result: numbers of the chosen, then their weights. */
import { known } from '../../../base/error.ts';
import { leastSum, type Operation } from '../../../graph.ts';
import type { ReferenceOp } from '../op-table.ts';

type Route = Extract<Operation, { op: 'route' }>;

/** What of the logits is compared and becomes weights. */
const gatings: { readonly [Name in Route['gating']]: (logits: Float64Array) => Float64Array } = {
  softmax,
  sigmoid: (logits) => logits.map((logit) => 1 / (1 + Math.exp(-logit))),
  'softmax-of-chosen': (logits) => logits,
};

export const runRoute: ReferenceOp<Route> = ({ operation, operands, output }) => {
  const { usedCount, gating, normalize, scale } = operation;
  const logits = known(operands[0], 'logits');
  const bias = operands[1]?.row(0);
  for (let row = 0; row < logits.count; row++) {
    const scores = gatings[gating](logits.row(row));
    // Without a bias the order of the logits is that of the scores, and has no ties that rounding made.
    const chosen = bias
      ? largest(
          scores.map((score, expert) => score + (bias[expert] ?? 0)),
          usedCount,
        )
      : largest(logits.row(row), usedCount);
    let weights: Float64Array = Float64Array.from(chosen, (expert) => scores[expert] ?? 0);
    if (gating === 'softmax-of-chosen') weights = softmax(weights);
    const sum = weights.reduce((total, weight) => total + weight, 0);
    if (normalize) weights = weights.map((weight) => weight / Math.max(sum, leastSum));
    output.set(chosen, row * 2 * usedCount);
    output.set(
      weights.map((weight) => weight * scale),
      (row * 2 + 1) * usedCount,
    );
  }
};

function softmax(values: Float64Array): Float64Array {
  const most = values.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
  const powers = values.map((value) => Math.exp(value - most));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/** Places of the largest values, in their order; the sort keeps the order of equals. */
function largest(values: Float64Array, count: number): number[] {
  const places = Array.from(values.keys());
  return places.sort((a, b) => (values[b] ?? 0) - (values[a] ?? 0)).slice(0, count);
}
