/** Puts the keys and values of the step's rows into their places in a layer's cache. */
import { known } from '../../../base/error.ts';
import type { Operation } from '../../../graph.ts';
import type { ReferenceOp } from '../op-table.ts';

export const runCacheWrite: ReferenceOp<Extract<Operation, { op: 'cache-write' }>> = (call) => {
  const [keys, values] = [known(call.operands[0], 'keys'), known(call.operands[1], 'values')];
  const cache = call.cache(call.operation.layer);
  call.step.rows.forEach(({ sequence, cacheRow }, index) => {
    cache.write(sequence, cacheRow, keys.row(index), values.row(index));
  });
};
