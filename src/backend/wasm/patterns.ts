/** What this backend runs as one kernel. Larger patterns stand first: the planner takes the first that fits. */
import { known } from '../../base/error.ts';
import type { GraphNode, Value } from '../../graph.ts';
import type { FusionPattern, GraphView } from '../../plan.ts';
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

const soleReader = (value: Value, view: GraphView): boolean => view.readers(value).length === 1;

/** f(x Gᵀ) · (x Uᵀ): gate and up read the input once and never leave registers. */
const gatedProjections: FusionPattern = {
  name: 'gated-projections',
  match(root, view) {
    if (root.operation.op !== 'gated') return undefined;
    const [gate, up] = root.inputs.map((input) => view.producer(input));
    if (!isMatmul(gate) || !isMatmul(up) || gate.inputs[0] !== up.inputs[0]) return undefined;
    if (!soleReader(gate.output, view) || !soleReader(up.output, view)) return undefined;
    return inputForm(gate) === inputForm(up) ? [gate, up, root] : undefined;
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
    if (root.operation.op !== 'gated') return undefined;
    const [gate, up] = root.inputs.map((input) => view.producer(input));
    if (!isExpertMatmul(gate) || !isExpertMatmul(up)) return undefined;
    if (gate.inputs[0] !== up.inputs[0] || gate.inputs[2] !== up.inputs[2]) return undefined;
    if (!soleReader(gate.output, view) || !soleReader(up.output, view)) return undefined;
    return inputForm(gate) === inputForm(up) ? [gate, up, root] : undefined;
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
  inPlace: overResidual,
};

/** What the chosen experts gave + residual, written over the residual. */
const expertSumAdd: FusionPattern = {
  name: 'expert-sum-add',
  match(root, view) {
    if (root.operation.op !== 'add') return undefined;
    const sums = root.inputs.map((input) => view.producer(input));
    const summed = sums.findLast((node) => node?.operation.op === 'expert-sum');
    return summed && soleReader(summed.output, view) ? [summed, root] : undefined;
  },
  inPlace: overResidual,
};

/** Of what is added to: its other operand. */
function overResidual(nodes: readonly GraphNode[]): { readonly input: Value; readonly output: Value } {
  const [first, sum] = [known(nodes[0], 'summand'), known(nodes[1], 'sum')];
  const input = known(
    sum.inputs.find((candidate) => candidate !== first.output),
    'residual',
  );
  return { input, output: sum.output };
}

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
      const alike = a.frequencies === b.frequencies && a.pairing === b.pairing && a.headSize === b.headSize;
      if (alike && a.magnitude === b.magnitude) return [query, keys, root];
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
  projectionAdd,
  expertSumAdd,
  ropeCache,
  projections,
];
