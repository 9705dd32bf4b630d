/** Weights: which of them are on the machine, packed, and within which budget. */
import type { PackedWeight } from './backend.ts';
import type { WeightValue } from './graph.ts';
import type { Segment } from './plan.ts';
import type { StreamTraffic } from './weights/stream-traffic.ts';

export { type Budget, openBudget, type Reservation } from './base/budget.ts';
export { type LoadWeightsOptions, loadWeights } from './weights/load.ts';
export { repackWeights } from './weights/repack.ts';
export { type BudgetShares, decideResidency, type Residency } from './weights/residency.ts';
export { planForResidency, type StreamWeightsOptions, streamWeights } from './weights/stream.ts';
export type { StreamEvent, StreamTraffic } from './weights/stream-traffic.ts';

/** A model's weights by tensor name, so that several plans of one model share them; streamed ones serve one executor. */
export interface Weights {
  /** Bytes on the machine. */
  readonly packedBytes: number;
  /** Weights may have to be waited for, and are then in the way of others: each bind that gives them is released. */
  readonly isStreamed: boolean;
  /**
   * The packed weights of a segment in its order: at once where all are resident (the same array each time), else when
   * they are. Rejects with `aborted` after `abandon`, else as a read of the model does.
   */
  bind(segment: Segment): readonly PackedWeight[] | Promise<readonly PackedWeight[]>;
  /** What the segment was bound for is done, or was not begun: its weights may make room for others. */
  release(segment: Segment): void;
  /** Sends away the binds that wait. */
  abandon(): void;
  /** One weight known to be resident; throws `internal` where it is not. */
  resident(weight: WeightValue): PackedWeight;
  /** Where single rows of a matrix are fetched for each pass, which of the table's rows they are; else undefined. */
  readonly rows: RowLookup | undefined;
  /** What streaming has cost so far; undefined where all weights are resident. */
  traffic(): StreamTraffic | undefined;
  /** Frees them; no ticket that uses them may be open. Harmless when repeated. */
  close(): void | Promise<void>;
}

/** A matrix of which a pass reads single rows: those that it names are fetched before it begins. */
export interface RowLookup {
  /**
   * Fetches the rows of `count` ids, at most a pass of them; undefined where all are there. They stay until the next
   * call, which must not come before the pass is over. Rejects with `aborted`, or as a read of the model does.
   */
  bring(count: number, idAt: (index: number) => number, signal?: AbortSignal): Promise<void> | undefined;
  /** The row of the table where an id lies that was brought. */
  place(id: number): number;
}

export interface LoadProgress {
  /** Bytes of the file's form. */
  readonly loadedBytes: number;
  readonly totalBytes: number;
}
