/** One layer's keys and values in the pages of a step. A page holds, per layer, keys [128, heads · keySize] and then values [128, heads · valueSize], float64. */
import { known } from '../../base/error.ts';
import type { CacheSpec } from '../../graph.ts';
import { pageRows } from '../../plan.ts';
import type { StepTables } from './step-tables.ts';

export interface LayerCache {
  /** Views into the page: writing to them writes the cache. `sequence` is an index into the step's sequences. */
  key(sequence: number, cacheRow: number): Float64Array;
  value(sequence: number, cacheRow: number): Float64Array;
}

export function cachePageBytes(spec: CacheSpec): number {
  return pageRows * spec.keyValueHeadCount * (spec.keySize + spec.valueSize) * 8;
}

/** `offsetBytes`: where the layer lies inside a page. */
export function layerCache(spec: CacheSpec & { readonly offsetBytes: number }, step: StepTables): LayerCache {
  const keyWidth = spec.keyValueHeadCount * spec.keySize;
  const valueWidth = spec.keyValueHeadCount * spec.valueSize;
  const view = (sequence: number, cacheRow: number, firstValue: number, width: number) => {
    const { pages } = known(step.sequences[sequence], `sequence ${sequence}`);
    const { buffer, offsetBytes } = known(
      pages[Math.floor(cacheRow / pageRows)],
      `page of cache row ${cacheRow}`,
    );
    const value = firstValue + (cacheRow % pageRows) * width;
    return new Float64Array(buffer, offsetBytes + spec.offsetBytes + value * 8, width);
  };
  return {
    key: (sequence, cacheRow) => view(sequence, cacheRow, 0, keyWidth),
    value: (sequence, cacheRow) => view(sequence, cacheRow, pageRows * keyWidth, valueWidth),
  };
}
