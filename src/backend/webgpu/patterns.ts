/** What this backend runs as one kernel. Larger patterns stand first: the planner takes the first that fits. */
import { known } from '../../base/error.ts';
import type { GraphNode, Value } from '../../graph.ts';
import type { FusionPattern, GraphView } from '../../plan.ts';

/** Products of one launch: each takes a binding or two of the eight that every device has. */
const mostProducts = 3;

/** A product of rows that four divides; others have a kernel of their own. */
const isMatmul = (node: GraphNode | undefined): node is GraphNode =>
  node?.operation.op === 'matmul' && Number(node.inputs[1]?.type.shape.at(-1)) % 4 === 0;

const soleReader = (value: Value, view: GraphView): boolean => view.readers(value).length === 1;

const formatOf = (node: GraphNode): string | undefined => node.inputs[1]?.type.format.name;

/** The norm that makes the input of these products and of nothing else. */
function normOf(products: readonly GraphNode[], view: GraphView): GraphNode | undefined {
  const input = products[0]?.inputs[0];
  const norm = input && view.producer(input);
  if (norm?.operation.op !== 'rms-norm' || norm.inputs.length > 2) return undefined;
  if ((norm.operation.groups ?? 1) > 1) return undefined;
  return view.readers(norm.output).every((reader) => products.includes(reader)) ? norm : undefined;
}

/** f(x Gᵀ) · (x Uᵀ), which read the input once; both weights are decoded alike. */
function gatedProducts(root: GraphNode, view: GraphView): GraphNode[] | undefined {
  if (root.operation.op !== 'gated') return undefined;
  const [gate, up] = root.inputs.map((input) => view.producer(input));
  if (!isMatmul(gate) || !isMatmul(up) || gate.inputs[0] !== up.inputs[0]) return undefined;
  if (!soleReader(gate.output, view) || !soleReader(up.output, view)) return undefined;
  return formatOf(gate) === formatOf(up) ? [gate, up, root] : undefined;
}

const gatedProjections: FusionPattern = { name: 'gated-projections', match: gatedProducts };

const normGatedProjections: FusionPattern = {
  name: 'norm-gated-projections',
  match(root, view) {
    const nodes = gatedProducts(root, view);
    const norm = nodes && normOf(nodes.slice(0, 2), view);
    return norm && [norm, ...nodes];
  },
};

/** x Wᵀ + residual, written over the residual. */
const projectionAdd: FusionPattern = {
  name: 'projection-add',
  match(root, view) {
    if (root.operation.op !== 'add') return undefined;
    const product = root.inputs.map((input) => view.producer(input)).findLast(isMatmul);
    return product && soleReader(product.output, view) ? [product, root] : undefined;
  },
  inPlace(nodes) {
    const [product, sum] = [known(nodes[0], 'product'), known(nodes[1], 'sum')];
    const input = known(
      sum.inputs.find((candidate) => candidate !== product.output),
      'residual',
    );
    return { input, output: sum.output };
  },
};

/** Rotates queries and keys and writes keys and values to the cache. Nodes: rope of q, rope of k, cache write. */
const ropeCache: FusionPattern = {
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

/** Products of one input by several weights, of any formats: query, key and value as one launch. */
function siblings(root: GraphNode, view: GraphView): GraphNode[] | undefined {
  const input = root.inputs[0];
  if (!isMatmul(root) || !input) return undefined;
  const products = view.readers(input).filter(isMatmul);
  return products.at(-1) === root && products.length <= mostProducts ? products : undefined;
}

const projections: FusionPattern = {
  name: 'projections',
  match: siblings,
};

const normProjections: FusionPattern = {
  name: 'norm-projections',
  match(root, view) {
    const products = siblings(root, view);
    const norm = products && normOf(products, view);
    return norm && [norm, ...products];
  },
};

export const fusionPatterns: readonly FusionPattern[] = [
  normGatedProjections,
  gatedProjections,
  projectionAdd,
  ropeCache,
  normProjections,
  projections,
];
