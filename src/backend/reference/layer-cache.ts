/** One layer's keys and values in the pages of a step. A page is one block; it holds, per layer, keys [128, heads · keySize] and then values [128, heads · valueSize], float64. */
import { known } from '../../base/error.ts';
import type { CacheSpec } from '../../graph.ts';
import { cacheBlockRows, type PlacedCache } from '../../plan.ts';
import { roundCached } from './round-cached.ts';
import type { StepTables } from './step-tables.ts';

export interface LayerCache {
  /** Views into the page: writing to them writes the cache. `sequence` is an index into the step's sequences. */
  key(sequence: number, cacheRow: number): Float64Array;
  value(sequence: number, cacheRow: number): Float64Array;
  /** Puts a row in its place, as the cache keeps it. */
  write(sequence: number, cacheRow: number, key: Float64Array, value: Float64Array): void;
}

export function cacheBlockBytes(spec: CacheSpec): number {
  return cacheBlockRows * spec.keyValueHeadCount * (spec.keySize + spec.valueSize) * 8;
}

/** `offsetBytes`: where the layer lies inside a page. */
export function layerCache(spec: PlacedCache, step: StepTables): LayerCache {
  const keyWidth = spec.keyValueHeadCount * spec.keySize;
  const valueWidth = spec.keyValueHeadCount * spec.valueSize;
  const view = (sequence: number, cacheRow: number, firstValue: number, width: number) => {
    const { pages } = known(step.sequences[sequence], `sequence ${sequence}`);
    const { buffer, offsetBytes } = known(
      pages[Math.floor(cacheRow / cacheBlockRows)],
      `page of cache row ${cacheRow}`,
    );
    const value = firstValue + (cacheRow % cacheBlockRows) * width;
    return new Float64Array(buffer, offsetBytes + spec.offsetBytes + value * 8, width);
  };
  const key = (sequence: number, cacheRow: number) => view(sequence, cacheRow, 0, keyWidth);
  const value = (sequence: number, cacheRow: number) =>
    view(sequence, cacheRow, cacheBlockRows * keyWidth, valueWidth);
  const put = (target: Float64Array, row: Float64Array) => {
    target.set(row);
    roundCached(spec.type, target);
  };
  return {
    key,
    value,
    write(sequence, cacheRow, keys, values) {
      put(key(sequence, cacheRow), keys);
      put(value(sequence, cacheRow), values);
    },
  };
}
