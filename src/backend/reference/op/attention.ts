/**
 * Causal attention, two passes over what a row sees in logical order: scores and their maximum, then weights and the
 * weighted sum. Each row's sums run in that one order whatever else is in the step; a sink's weight begins them.
 *
 * The cache stores no positions. What a row sees is a path of one row per position that ends in the row itself, so row i
 * of n in logical order has the position own - (n - 1 - i), and a window keeps the last `window` of them.
 */
import { known } from '../../../base/error.ts';
import type { Operation } from '../../../graph.ts';
import type { ReferenceOp } from '../op-table.ts';
import { visibleRows } from '../step-tables.ts';

export const runAttention: ReferenceOp<Extract<Operation, { op: 'attention' }>> = (call) => {
  const { operation, operands, output, step } = call;
  const { headCount, keySize, valueSize, scale, window = Number.POSITIVE_INFINITY, softCap } = operation;
  const queries = known(operands[0], 'query');
  const sinks = operands[1]?.row(0).slice();
  const cache = call.cache(operation.layer);
  const headsPerGroup = headCount / operation.keyValueHeadCount;

  step.rows.forEach((row, index) => {
    const { committed } = known(step.sequences[row.sequence], `sequence ${row.sequence}`);
    const visible = visibleRows(row, committed);
    const seen = visible.slice(Math.max(0, visible.length - window));
    const keys = seen.map((cacheRow) => cache.key(row.sequence, cacheRow));
    const values = seen.map((cacheRow) => cache.value(row.sequence, cacheRow));
    const query = queries.row(index);
    for (let head = 0; head < headCount; head++) {
      const group = Math.floor(head / headsPerGroup);
      const scores = keys.map((key) => {
        let sum = 0;
        for (let i = 0; i < keySize; i++) {
          sum += (query[head * keySize + i] ?? 0) * (key[group * keySize + i] ?? 0);
        }
        return softCap === undefined ? sum * scale : softCap * Math.tanh((sum * scale) / softCap);
      });
      const sink = sinks?.[head] ?? Number.NEGATIVE_INFINITY;
      const largest = scores.reduce((most, score) => Math.max(most, score), sink);
      const weights = scores.map((score) => Math.exp(score - largest));
      const total = weights.reduce((sum, weight) => sum + weight, Math.exp(sink - largest));
      for (let i = 0; i < valueSize; i++) {
        let sum = 0;
        for (let place = 0; place < seen.length; place++) {
          sum += (weights[place] ?? 0) * (values[place]?.[group * valueSize + i] ?? 0);
        }
        output[(index * headCount + head) * valueSize + i] = sum / total;
      }
    }
  });
};
