/** Where the layers sit inside a cache page: all layers of one page lie in one region, one after the other. */

import { known, NearfieldError } from '../base/error.ts';
import type { CacheSpec, CacheType } from '../graph.ts';
import type { Capability } from '../plan.ts';

/** Rows that lie together within a page, and that attention takes at a time; a page is one block or several. */
export const cacheBlockRows = 128;

export interface PlacedCache extends CacheSpec {
  readonly type: CacheType;
  /** From the start of the page. */
  readonly offsetBytes: number;
  /** Of the layer in one page. */
  readonly bytes: number;
}

export interface CacheLayout {
  /** Rows of a page: a power of two. */
  readonly pageRows: number;
  /** Bytes of one page of all layers. */
  readonly pageBytes: number;
  readonly layers: readonly PlacedCache[];
  /** The layer's entry; throws `internal` for a layer without a cache. */
  of(layer: number): PlacedCache;
}

/** Throws `unsupported` where the backend cannot keep a layer so. */
export function cacheLayout(
  specs: readonly CacheSpec[],
  type: CacheType,
  pageRows: number,
  {
    backend,
    alignmentBytes,
    cacheBlockBytes,
  }: Pick<Capability, 'backend' | 'alignmentBytes' | 'cacheBlockBytes'>,
): CacheLayout {
  let pageBytes = 0;
  const layers = specs.map((spec): PlacedCache => {
    const offsetBytes = pageBytes;
    const blockBytes = cacheBlockBytes(spec, type);
    if (blockBytes === undefined) {
      throw new NearfieldError(
        'unsupported',
        `The ${backend} backend cannot keep keys of ${spec.keySize} and values of ${spec.valueSize} numbers as ${type}`,
      );
    }
    const bytes = (pageRows / cacheBlockRows) * blockBytes;
    pageBytes += Math.ceil(bytes / alignmentBytes) * alignmentBytes;
    return { ...spec, type, offsetBytes, bytes };
  });
  const byLayer = new Map(layers.map((entry) => [entry.layer, entry]));
  return { pageRows, pageBytes, layers, of: (layer) => known(byLayer.get(layer), `cache of layer ${layer}`) };
}
