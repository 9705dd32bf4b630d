/** What part of each weight a row of a step reads. */
import type { Graph, WeightValue } from '../graph.ts';
import { ruleOf } from './operation.ts';

/** By tensor name of the graph's weights: 1, but for the weights of experts, of which a row reads those of the chosen. */
export function weightShares({ nodes }: Graph): ReadonlyMap<string, number> {
  const shares = new Map<string, number>();
  for (const { operation, inputs } of nodes) {
    const share = ruleOf(operation).share?.(operation) ?? 1;
    for (const { kind, name } of inputs) {
      if (kind === 'weight') shares.set(name, Math.max(share, shares.get(name) ?? 0));
    }
  }
  return shares;
}

/** How many of the values of these weights a row reads. */
export function valuesRead(weights: readonly WeightValue[], shares: ReadonlyMap<string, number>): number {
  return weights.reduce((sum, { name, type }) => {
    const shape: readonly number[] = type.shape;
    const count = shape.reduce((product, size) => product * size, 1);
    return sum + count * (shares.get(name) ?? 1);
  }, 0);
}
