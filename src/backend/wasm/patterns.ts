/** What this backend runs as one kernel. Larger patterns stand first: the planner takes the first that fits. */
import type { GraphNode } from '../../graph.ts';
import type { FusionPattern, GraphView } from '../../plan.ts';
import { addedTo, gatedProducts, ropeCache, soleReader } from '../patterns.ts';
import { packingOf } from './packing.ts';

/** Form name in which a product reads its input, by its weight. */
function inputForm(node: GraphNode): string | undefined {
  const weight = node.inputs[1];
  if (!isProduct(node) || weight?.kind !== 'weight') return undefined;
  const format = weight.type.format;
  return 'decode' in format ? packingOf(format as never)?.input.name : undefined;
}

const isMatmul = (node: GraphNode | undefined): node is GraphNode => node?.operation.op === 'matmul';
const isExpertMatmul = (node: GraphNode | undefined): node is GraphNode =>
  node?.operation.op === 'expert-matmul';
const isProduct = (node: GraphNode): boolean => isMatmul(node) || isExpertMatmul(node);
const isExpertSum = (node: GraphNode | undefined): node is GraphNode => node?.operation.op === 'expert-sum';

/** f(x Gᵀ) · (x Uᵀ): gate and up read the input once and never leave registers. */
const gatedProjections: FusionPattern = {
  name: 'gated-projections',
  match(root, view) {
    const nodes = gatedProducts(root, view, isMatmul);
    return nodes && inputForm(nodes[0]) === inputForm(nodes[1]) ? nodes : undefined;
  },
};

/** f(x Wᵀ): the product of a feed-forward block without a gate. */
const activatedProjection: FusionPattern = {
  name: 'activated-projection',
  match(root, view) {
    const product = root.inputs[0] && view.producer(root.inputs[0]);
    if (root.operation.op !== 'activate' || !isMatmul(product)) return undefined;
    return soleReader(product.output, view) ? [product, root] : undefined;
  },
};

/** The same by the weights of chosen experts. */
const gatedExpertProjections: FusionPattern = {
  name: 'gated-expert-projections',
  match(root, view) {
    const nodes = gatedProducts(root, view, isExpertMatmul);
    if (!nodes || nodes[0].inputs[2] !== nodes[1].inputs[2]) return undefined;
    return inputForm(nodes[0]) === inputForm(nodes[1]) ? nodes : undefined;
  },
};

/** A product that a later pattern's kernel activates. */
const isActivated = (node: GraphNode, view: GraphView): boolean =>
  view.readers(node.output).some(({ operation }) => operation.op === 'activate' || operation.op === 'gated');

/** Products of one input by several weights: query, key and value as one launch; a parallel feed-forward block is another. */
const projections: FusionPattern = {
  name: 'projections',
  match(root, view) {
    const input = root.inputs[0];
    const form = inputForm(root);
    if (!isMatmul(root) || !input || !form || isActivated(root, view)) return undefined;
    const siblings = view
      .readers(input)
      .filter((node) => isMatmul(node) && inputForm(node) === form && !isActivated(node, view));
    return siblings.at(-1) === root && siblings.length > 1 ? siblings : undefined;
  },
};

export const fusionPatterns: readonly FusionPattern[] = [
  gatedProjections,
  activatedProjection,
  gatedExpertProjections,
  addedTo('projection-add', isMatmul),
  addedTo('expert-sum-add', isExpertSum),
  ropeCache,
  projections,
];
