/** A row of a matrix for each row of the step: that of its token (the embedding) or of its position (learned positions). */

import { real } from '../../tensor.ts';
import { type OpRule, operandOf } from '../rule.ts';

export interface Embed {
  readonly op: 'embed';
  /** What names the row of the matrix; the token unless said. */
  readonly by?: 'token' | 'position';
}

export const embed: OpRule<Embed> = {
  op: 'embed',
  readsStep: true,
  gathers: ({ by = 'token' }) => (by === 'token' ? 0 : undefined),
  positionCount: ({ by }, operands) => (by === 'position' ? operands[0]?.shape[0] : undefined),
  infer(_, operands, { rows }) {
    const table = operandOf(operands, 0, 'embed');
    return { format: real, shape: [rows, table.shape[1] ?? 0] };
  },
  /** The weight's own rounding, group by group, and one of the result's. */
  errorBound({ operands, result, roundoff }) {
    const width = operands[0]?.shape[1] ?? 1;
    return result.map((value, place) => {
      const column = place % width;
      const start = place - (column % roundoff.operandGroup);
      const end = Math.min(start + roundoff.operandGroup, place - column + width);
      let largest = 0;
      for (let i = start; i < end; i++) largest = Math.max(largest, Math.abs(result[i] ?? 0));
      return Math.abs(value) * roundoff.unit + largest * roundoff.weight;
    });
  },
};
