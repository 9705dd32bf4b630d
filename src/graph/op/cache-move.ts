/** Copies rows of a layer's cache as the step's table of moves says; moves run in order, so that a row may move down. */
import { real } from '../../tensor.ts';
import type { OpRule } from '../rule.ts';

export interface CacheMove {
  readonly op: 'cache-move';
  readonly layer: number;
}

export const cacheMove: OpRule<CacheMove> = {
  op: 'cache-move',
  stage: 'commit',
  readsStep: true,
  infer: () => ({ format: real, shape: [0] }),
  /** A copy. */
  errorBound: ({ result }) => new Float64Array(result.length),
};
