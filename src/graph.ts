/**
 * Graphs: what a model computes, blind to device and storage. Values are tensors with symbolic rows; nodes apply one
 * operation each and stand in an order in which they can run. Every row of a step flows through the same nodes.
 */
import type { NumberFormat } from './format.ts';
import type { Operation } from './graph/operation.ts';
import type { Dim, TensorType } from './tensor.ts';

export { GraphBuilder } from './graph/builder.ts';
export { checkGraph } from './graph/check.ts';
export type { Activation, Gating } from './graph/op/activation.ts';
export { leastSum } from './graph/op/route.ts';
export { type Operation, type OperationName, ruleOf } from './graph/operation.ts';
export { printGraph } from './graph/print.ts';
export type { ErrorContext, OpRule, Roundoff } from './graph/rule.ts';
export { valuesRead, weightShares } from './graph/weight-shares.ts';

/** Symbols of every graph, by their index in the array of values that `evaluateDim` takes. */
export interface StepSymbols {
  /** `T`: rows in the step. */
  readonly rows: Dim;
  /** `R`: rows whose result is wanted. */
  readonly selected: Dim;
}

export type ValueKind = 'activation' | 'weight' | 'cache';

export interface Value {
  readonly id: number;
  /** For people: the weight's tensor name, or what the value is in the model (`blk.3.attn.q`). */
  readonly name: string;
  readonly kind: ValueKind;
  readonly type: TensorType;
}

/** A tensor of the checkpoint or some of its rows: `blk.0.attn_q.weight`, `blk.0.attn_qkv.weight[0:64]`. */
export interface WeightValue extends Value, WeightSource {
  readonly kind: 'weight';
  readonly type: TensorType<NumberFormat> & { readonly shape: readonly number[] };
}

/** Where a weight's values lie in the checkpoint. They may have another shape there, as long as their order is the same. */
export interface WeightSource {
  /** Name of the tensor. */
  readonly tensor: string;
  /** Rows of the tensor that make the weight, along its outermost axis: a vector's are its values. */
  readonly firstRow: number;
  readonly rowCount: number;
}

/**
 * Which part of a step needs a node: every row (`body`), the selected rows' logits (`head`), a reduction of those,
 * or none of them: moving accepted rows of the cache into place (`commit`). */
export type Stage = 'body' | 'head' | 'argmax' | 'commit';

export interface GraphNode {
  readonly id: number;
  readonly operation: Operation;
  readonly inputs: readonly Value[];
  readonly output: Value;
  /** Which layer of the model it belongs to; undefined outside the layers. */
  readonly layer: number | undefined;
  readonly stage: Stage;
}

/**
 * How cached keys and values are kept: float32 (float64 on the reference backend), half precision, or bytes with a scale
 * for every 32 of them.
 */
export const cacheTypes = ['f32', 'f16', 'q8_0'] as const;
export type CacheType = (typeof cacheTypes)[number];

/** What one layer keeps of every row. */
export interface CacheSpec {
  readonly layer: number;
  readonly keyValueHeadCount: number;
  /** Values of a key, and of a value, per head. */
  readonly keySize: number;
  readonly valueSize: number;
}

export interface Graph {
  readonly nodes: readonly GraphNode[];
  readonly weights: readonly WeightValue[];
  readonly caches: readonly CacheSpec[];
  readonly symbols: StepSymbols;
  /** Positions of a step are below this; Infinity where the model takes any. */
  readonly positionCount: number;
  /** `[T, D]`: the rows after the last layer. */
  readonly hidden: Value;
  /** `[R, V]` */
  readonly logits: Value;
  /** `[R, 2]`: index of the largest logit, and that logit. */
  readonly argmax: Value;
}
