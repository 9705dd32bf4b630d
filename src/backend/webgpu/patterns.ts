/** What this backend runs as one kernel. Larger patterns stand first: the planner takes the first that fits. */
import type { GraphNode } from '../../graph.ts';
import type { FusionPattern, GraphView } from '../../plan.ts';
import { addedTo, gatedProducts, ropeCache } from '../patterns.ts';

/** Products of one launch: each takes a binding or two of the eight that every device has. */
const mostProducts = 3;

/** A product of rows that four divides; others have a kernel of their own. */
const isMatmul = (node: GraphNode | undefined): node is GraphNode =>
  node?.operation.op === 'matmul' && Number(node.inputs[1]?.type.shape.at(-1)) % 4 === 0;

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
function gatedAlike(root: GraphNode, view: GraphView): readonly GraphNode[] | undefined {
  const nodes = gatedProducts(root, view, isMatmul);
  return nodes && formatOf(nodes[0]) === formatOf(nodes[1]) ? nodes : undefined;
}

const gatedProjections: FusionPattern = { name: 'gated-projections', match: gatedAlike };

const normGatedProjections: FusionPattern = {
  name: 'norm-gated-projections',
  match(root, view) {
    const nodes = gatedAlike(root, view);
    const norm = nodes && normOf(nodes.slice(0, 2), view);
    return norm && [norm, ...nodes];
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
  addedTo('projection-add', isMatmul),
  ropeCache,
  normProjections,
  projections,
];
