/** Turns pair i of every head by position · frequencies[i] and scales it by `magnitude`; the rest stays. */
import { known } from '../../../base/error.ts';
import type { Operation } from '../../../graph.ts';
import type { ReferenceOp } from '../op-table.ts';

type Rope = Extract<Operation, { op: 'rope' }>;

/** Places of the two values of pair i, of `pairCount`, within a head. */
const pairings: {
  readonly [Name in Rope['pairing']]: (pair: number, pairCount: number) => readonly [number, number];
} = {
  adjacent: (pair) => [2 * pair, 2 * pair + 1],
  split: (pair, pairCount) => [pair, pair + pairCount],
};

export const runRope: ReferenceOp<Rope> = ({ operation, operands, output, step }) => {
  const { headCount, headSize, frequencies, magnitude } = operation;
  const placesOf = pairings[operation.pairing];
  const input = known(operands[0], 'operand');
  step.rows.forEach(({ position }, index) => {
    const start = index * input.width;
    output.set(input.row(index), start);
    frequencies.forEach((frequency, pair) => {
      const angle = position * frequency;
      const [cosine, sine] = [Math.cos(angle) * magnitude, Math.sin(angle) * magnitude];
      const [first, second] = placesOf(pair, frequencies.length);
      for (let head = 0; head < headCount; head++) {
        const [a, b] = [start + head * headSize + first, start + head * headSize + second];
        const [x, y] = [output[a] ?? 0, output[b] ?? 0];
        output[a] = x * cosine - y * sine;
        output[b] = x * sine + y * cosine;
      }
    });
  });
};
