/** The bounds an engine's plan is made for where the caller states none. */
import type { BackendName } from '../backend.ts';
import type { CacheType } from '../graph.ts';

/** Rows of a prompt computed in one pass. */
export const defaultChunkRows = 512;
/** Rows whose logits one pass may give: a tree and the row above it. */
export const selectedRows = 64;
/** What `auto` stands for until other backends can be measured against it. */
export const defaultBackend: BackendName = 'wasm';
/** Halves cost nothing that can be measured in the text; the reference keeps what it computes. */
export const defaultCacheType = (backend: string): CacheType => (backend === 'reference' ? 'f32' : 'f16');
