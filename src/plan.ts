/**
 * Plans: a graph placed, cut in segments, fused inside them, and laid out in one arena whose offsets are expressions of
 * the step's symbols. A plan is made once per shape family and never again while tokens run.
 */
import type { NumberFormat } from './format.ts';
import type { CacheSpec, CacheType, Graph, GraphNode, Roundoff, Stage, Value, WeightValue } from './graph.ts';
import type { FusionPattern } from './plan/fuse.ts';
import type { SpreadCacheLayout } from './plan/spread.ts';
import type { BlockFormat, Dim, TensorType } from './tensor.ts';

export { type CacheLayout, cacheBlockRows, cacheLayout, type PlacedCache } from './plan/cache-layout.ts';
export type { FusionPattern, GraphView } from './plan/fuse.ts';
export { makePlan, type PlanOptions } from './plan/make.ts';
export { printPlan } from './plan/print.ts';
export { addressablePages, type SpreadCacheLayout } from './plan/spread.ts';
export { bytesPerToken, type CacheRead, type TokenCost, tokenCost } from './plan/token-cost.ts';

/** How an activation sits in the arena: float32, float64, 8-bit blocks… Private to a backend. */
export type StorageForm = BlockFormat;

/** What a backend tells the planner of itself, as data: the planner never sees the backend. */
export interface Capability {
  readonly backend: string;
  /** Offsets of buffers in the arena and of layers in a cache page are multiples of this. */
  readonly alignmentBytes: number;
  /** The form in which kernels read and write activations unless they say otherwise. */
  readonly form: StorageForm;
  supports(node: GraphNode): boolean;
  readonly patterns: readonly FusionPattern[];
  /** Form in which a kernel of these nodes reads an activation. */
  reads(nodes: readonly GraphNode[], value: Value): StorageForm;
  /** Forms in which a kernel of these nodes can write one of its results. */
  writes(nodes: readonly GraphNode[], value: Value): readonly StorageForm[];
  /** Bytes of `cacheBlockRows` rows of a layer; undefined where it cannot be kept as this type. */
  cacheBlockBytes(spec: CacheSpec, type: CacheType): number | undefined;
  /** Rows of a page of such layers: `cacheBlockRows` times a power of two. */
  cachePageRows(specs: readonly CacheSpec[], type: CacheType): number;
  /** Bytes a weight takes once packed. */
  packedBytes(weight: TensorType<NumberFormat>): number;
  /** Changes whenever the bytes of packed weights do, so that those kept on disk are known to be of this layout. */
  readonly packedLayout: string;
  /**
   * Launches that a segment comes to for so many rows (values of the graph's symbols), where a kernel may be none, one or
   * several of them; one each where it is not said.
   */
  launches?(segment: Segment, plan: Plan, symbols: readonly number[]): number;
  /** Bytes that the programs of a plan hold on the machine. */
  programBytes(plan: Plan): number;
  /** Rows of a matrix that are packed together. */
  readonly packedRows: number;
  /** Bytes on the machine that packing a weight takes for its time, beside the weight. */
  packingBytes(weight: TensorType<NumberFormat>): number;
  /** Bytes of weights, cache and activations that one memory of the machine can hold; Infinity where only the host's bounds it. */
  readonly addressableBytes: number;
  /** The machine is a program that stands in for a device, so never the fastest way; false where it is not said. */
  readonly emulated?: boolean;
  /** Memories that a plan may spread its layers over. */
  readonly mostMemories: number;
  /** Bytes beyond the last buffer of an arena that kernels may read, never use. */
  readonly overreadBytes: number;
  /** How results round, for a matmul by a weight of this format or (undefined) without a weight. */
  roundoff(weight: NumberFormat | undefined): Roundoff;
}

/** An activation's place in the arena. */
export interface Operand {
  readonly value: Value;
  readonly form: StorageForm;
  readonly offset: Dim;
  readonly bytes: Dim;
}

/** One launch: a group of nodes a backend runs as one, or (no nodes) a conversion of a value between two forms. */
export interface Kernel {
  /** Name of the fusion pattern, of the single operation, or `convert`. */
  readonly pattern: string;
  readonly nodes: readonly GraphNode[];
  readonly inputs: readonly Operand[];
  readonly outputs: readonly Operand[];
}

/** Kernels that a backend prepares and submits as one program. */
export interface Segment {
  readonly stage: Stage;
  readonly kernels: readonly Kernel[];
  readonly weights: readonly WeightValue[];
  /** Number of the machine's memory it works in. */
  readonly memory: number;
}

export interface Plan {
  readonly graph: Graph;
  readonly segments: readonly Segment[];
  /** Bytes of one instance's arena. */
  readonly arenaBytes: Dim;
  readonly logits: Operand;
  readonly argmax: Operand;
  readonly cache: SpreadCacheLayout;
  readonly buffers: readonly PlannedBuffer[];
  /** Packed bytes of the weights in each memory that the plan is spread over; mostly there is one. */
  readonly weightBytes: readonly number[];
  memoryOf(weight: WeightValue): number;
}

/** One buffer of the arena, for reports and checks. `first` and `last` number kernels in order of running. */
export interface PlannedBuffer extends Operand {
  readonly first: number;
  readonly last: number;
  /** Buffers of one slot share their bytes one after the other. */
  readonly slot: number;
}
