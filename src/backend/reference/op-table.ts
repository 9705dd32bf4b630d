/** The table of the reference's operations: each name with the function that computes just that operation. */
import type { Operation, OperationName } from '../../graph.ts';
import type { LayerCache } from './layer-cache.ts';
import { runActivate } from './op/activate.ts';
import { runAdd } from './op/add.ts';
import { runArgmax } from './op/argmax.ts';
import { runAttention } from './op/attention.ts';
import { runCacheMove } from './op/cache-move.ts';
import { runCacheWrite } from './op/cache-write.ts';
import { runEmbed } from './op/embed.ts';
import { runExpertMatmul } from './op/expert-matmul.ts';
import { runExpertSum } from './op/expert-sum.ts';
import { runGated } from './op/gated.ts';
import { runLayerNorm } from './op/layer-norm.ts';
import { runMatmul } from './op/matmul.ts';
import { runRmsNorm } from './op/rms-norm.ts';
import { runRope } from './op/rope.ts';
import { runRoute } from './op/route.ts';
import { runScale } from './op/scale.ts';
import { runSelectRows } from './op/select-rows.ts';
import { runSoftcap } from './op/softcap.ts';
import type { Rows } from './rows.ts';
import type { StepTables } from './step-tables.ts';

export interface OpCall<O extends Operation> {
  readonly operation: O;
  /** Activations and weights in the order of the node's inputs; caches are left out. */
  readonly operands: readonly Rows[];
  /** Row-major. May be the buffer of the operand that the operation's rule names as `inPlace`. */
  readonly output: Float64Array;
  readonly step: StepTables;
  cache(layer: number): LayerCache;
}

/** Computes every row of the output from that row of the operands alone (and the cache rows it sees). */
export type ReferenceOp<O extends Operation> = (call: OpCall<O>) => void;

const opTable: { readonly [Name in OperationName]: ReferenceOp<Extract<Operation, { op: Name }>> } = {
  activate: runActivate,
  add: runAdd,
  argmax: runArgmax,
  attention: runAttention,
  'cache-move': runCacheMove,
  'cache-write': runCacheWrite,
  embed: runEmbed,
  'expert-matmul': runExpertMatmul,
  'expert-sum': runExpertSum,
  gated: runGated,
  'layer-norm': runLayerNorm,
  matmul: runMatmul,
  'rms-norm': runRmsNorm,
  rope: runRope,
  scale: runScale,
  route: runRoute,
  'select-rows': runSelectRows,
  softcap: runSoftcap,
};

export function runOperation(call: OpCall<Operation>): void {
  const run = opTable[call.operation.op] as ReferenceOp<Operation>;
  run(call);
}

export function hasOperation(name: string): boolean {
  return Object.hasOwn(opTable, name);
}
