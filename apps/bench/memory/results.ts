/** What `bench:memory` has measured: all that its tables are made of. */
import type { MachineDescription } from '../../cli/machine-description.ts';
import type { Tally } from './contender.ts';
import type { PairRecipe } from './pair.ts';

export interface Measured {
  readonly set: 'streamed' | 'resident' | 'quoting';
  readonly name: string;
  readonly about: string;
  readonly tally: Tally;
  readonly heldBytes: number;
  readonly peakBytes: number | undefined;
  readonly bytesPerPass: number;
  readonly residentLayers: number;
  /** Share of the processors that other programs took meanwhile. */
  readonly foreignLoad: number;
  /** Of the disk just before; undefined where nothing was streamed. */
  readonly diskBytesPerSecond: number | undefined;
}

export interface DiskRate {
  readonly isDirect: boolean;
  readonly depth: number;
  readonly bytesPerSecond: number;
}

export interface MemoryShares {
  readonly targetBytes: number;
  /** For weights of the target. */
  readonly weightsBytes: number;
  readonly draftBytes: number;
  readonly cacheBytes: number;
  /** Of a process that holds an engine, without what the engine says it holds. */
  readonly emptyBytes: number;
  readonly limitBytes: number;
}

export interface MeasuredMemory {
  readonly machine: MachineDescription;
  readonly measuredAt: string;
  readonly recipe: PairRecipe;
  readonly threads: number;
  /** Share of tokens that the draft would have said too. */
  readonly agreement: number | undefined;
  /** In order; a contender that other programs disturbed is there several times. */
  readonly measured: readonly Measured[];
  readonly rates: readonly DiskRate[];
  readonly shares: MemoryShares | undefined;
  /** Version of the cgroups, or why there were none. */
  readonly groups: number | string;
  readonly remarks: readonly string[];
}
