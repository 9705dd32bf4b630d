/**
 * Spreads a plan over several memories of one machine: each holds the weights and the cache of a run of consecutive
 * layers. What belongs to no layer (embedding, head, arg-max) is in memory 0, where results are read.
 */
import { known } from '../base/error.ts';
import type { CacheSpec, CacheType, WeightValue } from '../graph.ts';
import type { Capability, Plan } from '../plan.ts';
import { dimBounds, evaluateDim } from '../tensor.ts';
import { type CacheLayout, cacheBlockRows, cacheLayout } from './cache-layout.ts';

export interface Spread {
  readonly memories: number;
  /** Number of the memory that a layer is in; 0 for undefined. */
  memoryOf(layer: number | undefined): number;
}

export const together: Spread = { memories: 1, memoryOf: () => 0 };

/**
 * How the layers of a plan that keeps all in one memory spread over several: each takes, in the layers' order,
 * its even share of the bytes that are left.
 */
export function spreadLayers(
  together: Plan,
  capability: Capability,
  memories: number,
  cachePages: number,
): Spread {
  const bytes = bytesByLayer(together, capability, cachePages);
  const layers = [...bytes.keys()].filter((layer) => layer !== undefined);
  const memoryByLayer = new Map<number | undefined, number>();
  let left = [...bytes.values()].reduce((sum, size) => sum + size, 0);
  let next = 0;
  for (let memory = 0; memory < memories; memory++) {
    const share = left / (memories - memory);
    let load = memory === 0 ? (bytes.get(undefined) ?? 0) : 0;
    for (; next < layers.length; next++) {
      const size = bytes.get(layers[next]) ?? 0;
      if (memory < memories - 1 && load + size / 2 > share) break;
      memoryByLayer.set(layers[next], memory);
      load += size;
    }
    left -= load;
  }
  return { memories, memoryOf: (layer) => memoryByLayer.get(layer) ?? 0 };
}

/** Packed weights and cache, in the order in which the layers run. */
function bytesByLayer(
  { graph: { nodes }, cache }: Plan,
  capability: Capability,
  cachePages: number,
): Map<number | undefined, number> {
  const bytes = new Map<number | undefined, number>();
  const add = (layer: number | undefined, size: number): void => {
    bytes.set(layer, (bytes.get(layer) ?? 0) + size);
  };
  const counted = new Set<string>();
  for (const { layer, inputs } of nodes) {
    const weights = inputs.filter((value): value is WeightValue => value.kind === 'weight');
    for (const { name, type } of weights) {
      if (!counted.has(name)) add(layer, capability.packedBytes(type));
      counted.add(name);
    }
  }
  for (const { layer, bytes: pageBytes } of cache.layers) add(layer, cachePages * pageBytes);
  return bytes;
}

/** A page has one address in all memories; in each it holds the rows of the layers that are there. */
export interface SpreadCacheLayout extends CacheLayout {
  /** Bytes of a page in each memory; together `pageBytes`. */
  readonly partBytes: readonly number[];
  /** Bytes from one page to the next: the largest part. */
  readonly strideBytes: number;
}

/**
 * Offsets of layers count from the page's address in their own memory. A page has no more rows than are `wanted` in all,
 * but for the last block's.
 */
export function spreadCache(
  specs: readonly CacheSpec[],
  type: CacheType,
  capability: Capability,
  { memories, memoryOf }: Spread,
  wanted: number,
): SpreadCacheLayout {
  let pageRows = capability.cachePageRows(specs, type);
  while (pageRows > cacheBlockRows && pageRows / 2 >= wanted) pageRows /= 2;
  const parts = Array.from({ length: memories }, (_, memory) => {
    const inside = specs.filter(({ layer }) => memoryOf(layer) === memory);
    return cacheLayout(inside, type, pageRows, capability);
  });
  const partBytes = parts.map(({ pageBytes }) => pageBytes);
  return {
    pageRows,
    pageBytes: partBytes.reduce((sum, size) => sum + size, 0),
    layers: parts.flatMap(({ layers }) => layers),
    of: (layer) => known(parts[memoryOf(layer)], 'memory').of(layer),
    partBytes,
    strideBytes: Math.max(...partBytes),
  };
}

/** Pages of the cache that the memories hold beside weights and activations; below 1 the model cannot be run. */
export function addressablePages(plan: Plan, { addressableBytes }: Capability): number {
  const { rows, selected } = plan.graph.symbols;
  const arenaBytes = evaluateDim(plan.arenaBytes, [dimBounds(rows).max, dimBounds(selected).max]);
  const left = addressableBytes - arenaBytes - Math.max(...plan.weightBytes);
  return Math.floor(left / Math.max(1, plan.cache.strideBytes));
}
