/** Copies rows of a layer's cache, one move after the other. */
import type { Operation } from '../../../graph.ts';
import type { ReferenceOp } from '../op-table.ts';

export const runCacheMove: ReferenceOp<Extract<Operation, { op: 'cache-move' }>> = (call) => {
  const cache = call.cache(call.operation.layer);
  for (const { fromSequence, fromRow, toSequence, toRow } of call.step.moves) {
    cache.key(toSequence, toRow).set(cache.key(fromSequence, fromRow));
    cache.value(toSequence, toRow).set(cache.value(fromSequence, fromRow));
  }
};
