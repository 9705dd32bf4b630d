/** The table of operations: the union of what each file in `op/` declares. */
import { type Activate, activate } from './op/activate.ts';
import { type Add, add } from './op/add.ts';
import { type Argmax, argmax } from './op/argmax.ts';
import { type Attention, attention } from './op/attention.ts';
import { type CacheMove, cacheMove } from './op/cache-move.ts';
import { type CacheWrite, cacheWrite } from './op/cache-write.ts';
import { type Embed, embed } from './op/embed.ts';
import { type ExpertMatmul, expertMatmul } from './op/expert-matmul.ts';
import { type ExpertSum, expertSum } from './op/expert-sum.ts';
import { type Gated, gated } from './op/gated.ts';
import { type LayerNorm, layerNorm } from './op/layer-norm.ts';
import { type Matmul, matmul } from './op/matmul.ts';
import { type RmsNorm, rmsNorm } from './op/rms-norm.ts';
import { type Rope, rope } from './op/rope.ts';
import { type Route, route } from './op/route.ts';
import { type Scale, scale } from './op/scale.ts';
import { type SelectRows, selectRows } from './op/select-rows.ts';
import { type Softcap, softcap } from './op/softcap.ts';
import type { OpRule } from './rule.ts';

export type Operation =
  | Activate
  | Add
  | Argmax
  | Attention
  | CacheMove
  | CacheWrite
  | Embed
  | ExpertMatmul
  | ExpertSum
  | Gated
  | LayerNorm
  | Matmul
  | RmsNorm
  | Rope
  | Route
  | Scale
  | SelectRows
  | Softcap;

export type OperationName = Operation['op'];

export const operationRules: { readonly [Name in OperationName]: OpRule<Extract<Operation, { op: Name }>> } =
  {
    activate,
    add,
    argmax,
    attention,
    'cache-move': cacheMove,
    'cache-write': cacheWrite,
    embed,
    'expert-matmul': expertMatmul,
    'expert-sum': expertSum,
    gated,
    'layer-norm': layerNorm,
    matmul,
    'rms-norm': rmsNorm,
    rope,
    route,
    scale,
    'select-rows': selectRows,
    softcap,
  };

/** The rule of an operation; the table pairs each name with the rule of just that operation. */
export function ruleOf<O extends Operation>(operation: O): OpRule<O> {
  return operationRules[operation.op] as unknown as OpRule<O>;
}
