/** The sum of what a row's chosen experts gave, each times its weight: [T, used · N] and the routes to [T, N]. */
import { NearfieldError } from '../../base/error.ts';
import { expectDim, type OpRule, operandOf } from '../rule.ts';

export interface ExpertSum {
  readonly op: 'expert-sum';
  readonly usedCount: number;
}

export const expertSum: OpRule<ExpertSum> = {
  op: 'expert-sum',
  readsStep: false,
  infer({ usedCount }, operands) {
    const [input, routes] = [operandOf(operands, 0, 'expert-sum'), operandOf(operands, 1, 'expert-sum')];
    expectDim(routes.shape[1], 2 * usedCount, 'expert-sum', routes);
    const width = input.shape[1];
    if (typeof width !== 'number' || width % usedCount !== 0) {
      throw new NearfieldError(
        'internal',
        `expert-sum: ${width} values are not parts for ${usedCount} experts`,
      );
    }
    return { format: input.format, shape: [input.shape[0] ?? 0, width / usedCount] };
  },
  /** `used` products added in order: each term is rounded once and takes part in at most `used` sums. */
  errorBound({ operation: { usedCount }, operands, result, roundoff }) {
    const [x, routes] = [operands[0]?.data, operands[1]?.data];
    const width = (operands[0]?.shape[1] ?? 0) / usedCount;
    return result.map((_, place) => {
      const [row, column] = [Math.floor(place / width), place % width];
      let sum = 0;
      for (let used = 0; used < usedCount; used++) {
        const weight = routes?.[(row * 2 + 1) * usedCount + used] ?? 0;
        sum += Math.abs(weight * (x?.[(row * usedCount + used) * width + column] ?? 0));
      }
      return sum * (usedCount + 1) * roundoff.unit;
    });
  },
};
