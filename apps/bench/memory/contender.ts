/** What `bench:memory` asks of a process, and what it answers. */
import type { FallbackName, ProposerName } from '../../../src/decoder.ts';

/** A text that is gone on with: by arg-max, or by given tokens where an engine is only to be timed. */
export interface TextSpec {
  readonly prompt: readonly number[];
  readonly tokens: number;
  readonly given?: readonly number[];
}

export interface Contest {
  readonly modelPath: string;
  readonly threads: number;
  readonly contextRows: number;
  /** The first one warms up and is not counted. */
  readonly texts: readonly TextSpec[];
}

export interface NearfieldSpec extends Contest {
  readonly kind: 'nearfield';
  readonly draftPath?: string;
  readonly decoder: ProposerName;
  readonly fallback?: FallbackName;
  readonly idleDrafting?: boolean;
  /** Undefined: all weights are in memory. */
  readonly memoryBudget?: number;
  readonly cacheFolder: string;
}

export interface NativeSpec extends Contest {
  readonly kind: 'native';
}

export type RunSpec = NearfieldSpec | NativeSpec;

/** Sums over the texts but the first. */
export interface Tally {
  tokens: number;
  ms: number;
  /** Of the target. */
  passes: number;
  proposed: number;
  accepted: number;
  verifications: number;
  draftPasses: number;
  draftMs: number;
  provisionalKept: number;
  provisionalDropped: number;
  bytesRead: number;
  /** In which something was read, computed by the target, or both. */
  readMs: number;
  computeMs: number;
  bothMs: number;
}

export interface RunResult {
  readonly about: string;
  /** What every text went on with. */
  readonly tokens: readonly (readonly number[])[];
  readonly tally: Tally;
  /** What the engine says it holds; 0 where it does not say. */
  readonly heldBytes: number;
  readonly bytesPerPass: number;
  readonly residentLayers: number;
}

export const emptyTally = (): Tally => ({
  ...{ tokens: 0, ms: 0, passes: 0, proposed: 0, accepted: 0, verifications: 0, draftPasses: 0, draftMs: 0 },
  ...{ provisionalKept: 0, provisionalDropped: 0, bytesRead: 0, readMs: 0, computeMs: 0, bothMs: 0 },
});
