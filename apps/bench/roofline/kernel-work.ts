/** What a kernel of a plan has to move and to compute at least, from the plan alone. */
import { type GraphNode, ruleOf, type WeightValue } from '../../../src/graph.ts';
import type { CacheLayout, Capability, Kernel } from '../../../src/plan.ts';
import { evaluateDim } from '../../../src/tensor.ts';

export interface KernelWork {
  /** Kernels of one class do the same with weights of one format. */
  readonly className: string;
  /** Weights and cache rows, each read once. */
  readonly streamedBytes: number;
  /** Activations read and written. */
  readonly activationBytes: number;
  /** Multiplications and additions of products. */
  readonly operations: number;
}

/** `cachedRows` are those before the step's. */
export function workOf(
  kernel: Kernel,
  { capability, cache }: { readonly capability: Capability; readonly cache: CacheLayout },
  symbols: readonly number[],
  cachedRows: number,
): KernelWork {
  const rows = (node: GraphNode) => cachedRows + rowsOf(node, symbols);
  const streamed = kernel.nodes.map(
    (node) => cacheBytes(node, cache, rows(node)) + weightBytes(node, capability, symbols),
  );
  const operands = [...kernel.inputs, ...kernel.outputs];
  return {
    className: classOf(kernel),
    streamedBytes: sum(streamed),
    activationBytes: sum(operands.map(({ bytes }) => evaluateDim(bytes, symbols))),
    operations: sum(kernel.nodes.map((node) => operationsOf(node, symbols, cachedRows))),
  };
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

const matricesOf = (node: GraphNode): WeightValue[] =>
  node.inputs.filter((input): input is WeightValue => input.kind === 'weight' && input.type.shape.length > 1);

/** Pattern, and of products the name of the first weight without its layer. */
function classOf({ pattern, nodes }: Kernel): string {
  const [weight] = nodes.flatMap(matricesOf);
  if (!weight) return pattern;
  const name = weight.name.replace(/^blk\.\d+\./, '').replace(/\.weight$/, '');
  return `${pattern} (${name}, ${weight.type.format.name})`;
}

const rowsOf = (node: GraphNode, symbols: readonly number[]): number =>
  evaluateDim(node.output.type.shape[0] ?? 1, symbols);

function cacheBytes({ operation }: GraphNode, cache: CacheLayout, rows: number): number {
  return operation.op === 'attention' ? (rows * cache.of(operation.layer).bytes) / cache.pageRows : 0;
}

/** Of its weights that a row reads; several rows may read different ones. */
const shareOf = ({ operation }: GraphNode): number => ruleOf(operation).share?.(operation) ?? 1;

function weightBytes(node: GraphNode, capability: Capability, symbols: readonly number[]): number {
  const weights = node.inputs.filter((input): input is WeightValue => input.kind === 'weight');
  return sum(
    weights.map(({ type }) => {
      const rows = rowsOf(node, symbols);
      const share =
        node.operation.op === 'embed' ? rows / (type.shape[0] ?? 1) : Math.min(1, rows * shareOf(node));
      return capability.packedBytes(type) * share;
    }),
  );
}

function operationsOf(node: GraphNode, symbols: readonly number[], cachedRows: number): number {
  const { operation } = node;
  const rows = rowsOf(node, symbols);
  if (operation.op === 'matmul' || operation.op === 'expert-matmul') {
    return sum(
      matricesOf(node).map(({ type }) => {
        const shape: readonly number[] = type.shape;
        return shape.reduce((product, size) => product * size, 2 * rows * shareOf(node));
      }),
    );
  }
  if (operation.op !== 'attention') return 0;
  const { headCount, keySize, valueSize } = operation;
  const pairs = rows * cachedRows + (rows * (rows + 1)) / 2;
  return 2 * pairs * headCount * (keySize + valueSize);
}
