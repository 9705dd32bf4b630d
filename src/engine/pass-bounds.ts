/** The bounds an engine's plan is made for where the caller states none. */
import type { BackendName } from '../backend.ts';
import { NearfieldError } from '../base/error.ts';
import type { ExecutorOptions } from '../executor.ts';
import type { CacheType } from '../graph.ts';
import type { PlanOptions } from '../plan.ts';

/** How an engine shares the processors with whatever else runs. */
interface Manners {
  readonly chunkRows: number;
  readonly cut: NonNullable<PlanOptions['cut']>;
  readonly gaps: ExecutorOptions['gaps'];
}

/** Rows of a prompt computed in one pass. */
export const defaultChunkRows = 512;
/** The work between two gaps is about a frame of a screen. */
export const priorities = {
  throughput: { chunkRows: defaultChunkRows, cut: 'stages', gaps: undefined },
  interactive: { chunkRows: 64, cut: 'layers', gaps: { workMs: 16, gapMs: 4 } },
} as const satisfies Record<string, Manners>;
export type Priority = keyof typeof priorities;
export const priorityNames = Object.keys(priorities) as readonly Priority[];
/** Rows whose logits one pass may give: a tree and the row above it. */
export const selectedRows = 64;
/** What `auto` stands for until other backends can be measured against it. */
export const defaultBackend: BackendName = 'wasm';
/** Halves cost nothing that can be measured in the text; the reference keeps what it computes. */
export const defaultCacheType = (backend: string): CacheType => (backend === 'reference' ? 'f32' : 'f16');

/** Throws `bad-argument` for what is no priority. */
export function mannersOf(priority: Priority = 'throughput'): Manners {
  if (Object.hasOwn(priorities, priority)) return priorities[priority];
  throw new NearfieldError('bad-argument', `priority is ${priorityNames.join(' or ')}, not ${priority}`);
}
