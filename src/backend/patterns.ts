/** Parts of fusion patterns that more than one backend has. */
import { known } from '../base/error.ts';
import type { GraphNode, Value } from '../graph.ts';
import type { FusionPattern, GraphView } from '../plan.ts';

type IsProduct = (node: GraphNode | undefined) => node is GraphNode;

export const soleReader = (value: Value, view: GraphView): boolean => view.readers(value).length === 1;

/** Gate, up and root of f(x Gᵀ) · (x Uᵀ), where both products read the same and only the root reads them. */
export function gatedProducts(
  root: GraphNode,
  view: GraphView,
  isProduct: IsProduct,
): readonly [GraphNode, GraphNode, GraphNode] | undefined {
  if (root.operation.op !== 'gated') return undefined;
  const [gate, up] = root.inputs.map((input) => view.producer(input));
  if (!isProduct(gate) || !isProduct(up) || gate.inputs[0] !== up.inputs[0]) return undefined;
  return soleReader(gate.output, view) && soleReader(up.output, view) ? [gate, up, root] : undefined;
}

/** What such a node gives + residual, written over the residual. */
export function addedTo(name: string, isSummand: IsProduct): FusionPattern {
  return {
    name,
    match(root, view) {
      if (root.operation.op !== 'add') return undefined;
      const summand = root.inputs.map((input) => view.producer(input)).findLast(isSummand);
      return summand && soleReader(summand.output, view) ? [summand, root] : undefined;
    },
    inPlace(nodes) {
      const [summand, sum] = [known(nodes[0], 'summand'), known(nodes[1], 'sum')];
      const input = known(
        sum.inputs.find((candidate) => candidate !== summand.output),
        'residual',
      );
      return { input, output: sum.output };
    },
  };
}

/** Rotates queries and keys and writes keys and values to the cache. Nodes: rope of q, rope of k, cache write. */
export const ropeCache: FusionPattern = {
  name: 'rope-cache',
  match(root, view) {
    if (root.operation.op !== 'cache-write') return undefined;
    const keys = root.inputs[0] && view.producer(root.inputs[0]);
    if (keys?.operation.op !== 'rope' || !soleReader(keys.output, view)) return undefined;
    for (const reader of view.readers(root.output)) {
      const query = reader.inputs[0] && view.producer(reader.inputs[0]);
      if (query?.operation.op !== 'rope' || query.id > root.id) continue;
      const [a, b] = [query.operation, keys.operation];
      const alike = a.frequencies.join() === b.frequencies.join() && a.pairing === b.pairing;
      if (alike && a.magnitude === b.magnitude && a.headSize === b.headSize) return [query, keys, root];
    }
    return undefined;
  },
  inPlace(nodes) {
    const query = known(
      nodes.find((node) => node.operation.op === 'rope'),
      'rope of the queries',
    );
    return { input: known(query.inputs[0], 'queries'), output: query.output };
  },
};
