/**
 * Products by the weights of each row's chosen experts: x [T, K], the same for all of them, or [T, used · K], a part for
 * each; W [E, N, K]; routes as `route` gives them; optionally the experts' biases one behind the other, [E · N]. Gives
 * [T, used · N]: for each of the chosen, in the order of the routes, its part of x times its Wᵀ (+ b).
 */
import { NearfieldError } from '../../base/error.ts';
import { multiplyDims, real } from '../../tensor.ts';
import { expectDim, type OpRule, operandOf } from '../rule.ts';
import { productBound } from './matmul.ts';

export interface ExpertMatmul {
  readonly op: 'expert-matmul';
  readonly expertCount: number;
  readonly usedCount: number;
}

export const expertMatmul: OpRule<ExpertMatmul> = {
  op: 'expert-matmul',
  readsStep: false,
  share: ({ expertCount, usedCount }) => usedCount / expertCount,
  product: { input: 0, weight: 1, routes: 2 },
  infer({ expertCount, usedCount }, operands) {
    const [input, weight, routes] = [0, 1, 2].map((index) => operandOf(operands, index, 'expert-matmul'));
    if (!input || !weight || !routes)
      throw new NearfieldError('internal', 'expert-matmul has three operands');
    const [, columns = 0, inner = 0] = weight.shape;
    expectDim(weight.shape[0], expertCount, 'expert-matmul', weight);
    expectDim(routes.shape[1], 2 * usedCount, 'expert-matmul', routes);
    const width = input.shape[1];
    expectDim(width, width === inner ? inner : multiplyDims(usedCount, inner), 'expert-matmul', input);
    const bias = operands[3];
    if (bias) expectDim(bias.shape[0], multiplyDims(expertCount, columns), 'expert-matmul', bias);
    return { format: real, shape: [input.shape[0] ?? 0, multiplyDims(usedCount, columns)] };
  },
  /** As `matmul`, with the rows of the chosen expert. */
  errorBound({ operation: { expertCount, usedCount }, operands, result, roundoff }) {
    const [x, w, routes] = operands;
    if (!x || !w || !routes) return new Float64Array(result.length);
    const inner = w.shape.at(-1) ?? 0;
    const columns = w.data.length / inner / expertCount;
    const parts = (x.shape[1] ?? 0) / inner;
    return result.map((value, place) => {
      const [slot, column] = [Math.floor(place / columns), place % columns];
      const [row, used] = [Math.floor(slot / usedCount), slot % usedCount];
      const expert = routes.data[row * 2 * usedCount + used] ?? 0;
      const xStart = (row * parts + (parts > 1 ? used : 0)) * inner;
      const wStart = (expert * columns + column) * inner;
      const xs = x.data.subarray(xStart, xStart + inner);
      return productBound(xs, w.data.subarray(wStart, wStart + inner), value, roundoff);
    });
  },
};
