/** How activations sit in the arena of this backend. */
import type { CacheType } from '../../graph.ts';
import type { StorageForm } from '../../plan.ts';

export const f32: StorageForm = { name: 'f32', blockValues: 1, blockBytes: 4 };

/**
 * Rows for the integer kernels: per 32 values the scale · 2^56 (float32), scale · 2^56 · Σ codes (float32), −Σ of the first
 * sixteen codes and of all (int32), and 32 signed codes of at most 127.
 */
export const q8: StorageForm = { name: 'q8', blockValues: 32, blockBytes: 48 };

/**
 * Cache types: number on the tape and bytes of a page per value of a key and of a value (128 rows), as in
 * `assembly/cache.ts`, and what sizes of keys and values must be a multiple of.
 */
export const cacheForms = {
  f32: { number: 0, keyBytes: 512, valueBytes: 512, multiple: 4 },
  f16: { number: 1, keyBytes: 256, valueBytes: 256, multiple: 4 },
  q8_0: { number: 2, keyBytes: 152, valueBytes: 144, multiple: 32 },
} as const satisfies Record<CacheType, object>;
