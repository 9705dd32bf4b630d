/** Where the layers sit inside a cache page: all layers of one page lie in one region, one after the other. */

import { known } from '../base/error.ts';
import type { CacheSpec } from '../graph.ts';

/** Rows of a page. A power of two: a row's page is `row >> 7`. */
export const pageRows = 128;

export interface CacheLayout {
  /** Bytes of one page of all layers. */
  readonly pageBytes: number;
  readonly layers: readonly (CacheSpec & { readonly offsetBytes: number })[];
  /** The layer's entry; throws `internal` for a layer without a cache. */
  of(layer: number): CacheSpec & { readonly offsetBytes: number };
}

export function cacheLayout(
  specs: readonly CacheSpec[],
  capability: { cachePageBytes(spec: CacheSpec): number; readonly alignmentBytes: number },
): CacheLayout {
  let pageBytes = 0;
  const layers = specs.map((spec) => {
    const offsetBytes = pageBytes;
    const { alignmentBytes } = capability;
    pageBytes += Math.ceil(capability.cachePageBytes(spec) / alignmentBytes) * alignmentBytes;
    return { ...spec, offsetBytes };
  });
  const byLayer = new Map(layers.map((entry) => [entry.layer, entry]));
  return { pageBytes, layers, of: (layer) => known(byLayer.get(layer), `cache of layer ${layer}`) };
}
