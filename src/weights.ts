/** Weights: which of them are on the machine, packed, and within which budget. */
import type { PackedWeight } from './backend.ts';
import type { WeightValue } from './graph.ts';
import type { Segment } from './plan.ts';

export { type Budget, openBudget, type Reservation } from './base/budget.ts';
export { type LoadWeightsOptions, loadWeights } from './weights/load.ts';

/** A model's weights by tensor name, so that several plans of one model share them. */
export interface Weights {
  /** Bytes on the machine. */
  readonly packedBytes: number;
  /**
   * The packed weights of a segment in its order: at once where all are resident (the same array each time), else when
   * they are.
   */
  bind(segment: Segment): readonly PackedWeight[] | Promise<readonly PackedWeight[]>;
  /** One weight known to be resident; throws `internal` where it is not. */
  resident(weight: WeightValue): PackedWeight;
  /** Frees them; no ticket that uses them may be open. Harmless when repeated. */
  close(): void;
}

export interface LoadProgress {
  /** Bytes of the file's form. */
  readonly loadedBytes: number;
  readonly totalBytes: number;
}
