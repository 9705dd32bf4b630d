/** How activations sit in the arena of this backend. */
import type { StorageForm } from '../../plan.ts';

export const f32: StorageForm = { name: 'f32', blockValues: 1, blockBytes: 4 };

/**
 * Rows for the integer kernels: per 32 values the scale · 2^56 (float32), scale · 2^56 · Σ codes (float32), −Σ of the first
 * and of the last sixteen codes (int32), and 32 signed codes of at most 127.
 */
export const q8: StorageForm = { name: 'q8', blockValues: 32, blockBytes: 48 };
