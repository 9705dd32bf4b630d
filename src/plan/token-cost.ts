/** What one token of a plan asks of the machine: launches, bytes that are read, multiplications and additions. */
import {
  type GraphNode,
  ruleOf,
  type Stage,
  type Value,
  valuesRead,
  type WeightValue,
  weightShares,
} from '../graph.ts';
import type { Capability, Plan, Segment } from '../plan.ts';

export interface TokenCost {
  readonly launches: number;
  /** Of the body, per layer with a cache. */
  readonly launchesPerLayer: number;
  /** Packed weights that a token reads: not tables of which it reads a row, of experts those it chooses. */
  readonly weightBytes: number;
  /** What attention reads of cached rows, for layers that see as many of them each. */
  readonly cacheReads: readonly CacheRead[];
  /** Multiplications and additions of the products with weights: of a row, and beyond that of one whose logits are wanted. */
  readonly rowOperations: number;
  readonly logitOperations: number;
}

export interface CacheRead {
  /** Bytes of one row, over all of these layers. */
  readonly rowBytes: number;
  /** Rows that are seen at most, the latest; undefined: all. */
  readonly window?: number;
}

/** The stages of a step that wants the most likely token. */
const stages: readonly Stage[] = ['body', 'head', 'argmax'];

export function tokenCost(plan: Plan, capability: Capability): TokenCost {
  const segments = plan.segments.filter(({ stage }) => stages.includes(stage));
  const count = (segment: Segment) => capability.launches?.(segment, plan, [1, 1]) ?? segment.kernels.length;
  const sum = (list: readonly Segment[]) => list.reduce((total, segment) => total + count(segment), 0);
  const shares = weightShares(plan.graph);
  const inBody = segments.filter(({ stage }) => stage === 'body');
  const inHead = segments.filter(({ stage }) => stage !== 'body');
  const outside = inBody
    .flatMap(({ kernels }) => kernels)
    .filter(({ nodes }) => nodes.every(({ layer }) => layer === undefined)).length;
  return {
    launches: sum(segments),
    launchesPerLayer: (sum(inBody) - outside) / Math.max(1, plan.graph.caches.length),
    weightBytes: weightsRead(segments, plan).reduce(
      (bytes, { name, type }) => bytes + (shares.get(name) ?? 1) * capability.packedBytes(type),
      0,
    ),
    cacheReads: cacheReads(plan),
    rowOperations: 2 * valuesRead(weightsRead(inBody, plan, 'multiplied'), shares),
    logitOperations: 2 * valuesRead(weightsRead(inHead, plan, 'multiplied'), shares),
  };
}

/** Bytes of weights and of cached rows that move for a token which sees so many rows, its own among them. */
export function bytesPerToken({ weightBytes, cacheReads }: TokenCost, rows: number): number {
  return cacheReads.reduce(
    (total, { rowBytes, window = rows }) => total + rowBytes * Math.min(window, rows),
    weightBytes,
  );
}

/** Weights that a row reads whole, or of experts the chosen; with `multiplied` those of products alone. */
function weightsRead(
  segments: readonly Segment[],
  { graph }: Plan,
  multiplied?: 'multiplied',
): WeightValue[] {
  const read = new Set<Value>();
  for (const { operation, inputs } of segments.flatMap(nodesOf)) {
    const { product, gathers } = ruleOf(operation);
    const gathered = gathers?.(operation);
    inputs.forEach((input, place) => {
      if (place !== gathered && (!multiplied || place === product?.weight)) read.add(input);
    });
  }
  return graph.weights.filter((weight) => read.has(weight));
}

const nodesOf = ({ kernels }: Segment): readonly GraphNode[] => kernels.flatMap(({ nodes }) => nodes);

function cacheReads({ graph, cache }: Plan): CacheRead[] {
  const bytesByRows = new Map<number, number>();
  for (const { operation } of graph.nodes) {
    const read = ruleOf(operation).cacheRead?.(operation);
    if (!read) continue;
    const { bytes } = cache.of(read.layer);
    const rowBytes = bytes / cache.pageRows;
    bytesByRows.set(read.rows, (bytesByRows.get(read.rows) ?? 0) + rowBytes);
  }
  return [...bytesByRows].map(([rows, rowBytes]) =>
    Number.isFinite(rows) ? { rowBytes, window: rows } : { rowBytes },
  );
}
