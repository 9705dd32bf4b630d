/** Puts the keys and values of the step's rows into their places in a layer's cache. The output stands for that state. */
import { type OpRule, operandOf } from '../rule.ts';

export interface CacheWrite {
  readonly op: 'cache-write';
  readonly layer: number;
  readonly keyValueHeadCount: number;
  readonly keySize: number;
  readonly valueSize: number;
}

export const cacheWrite: OpRule<CacheWrite> = {
  op: 'cache-write',
  readsStep: true,
  cacheSpec: (operation) => operation,
  infer: (_, operands) => ({ format: operandOf(operands, 0, 'cache-write').format, shape: [0] }),
  errorBound: ({ result }) => new Float64Array(result.length),
};
