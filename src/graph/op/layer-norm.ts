/** y = (x - mean(x)) / sqrt(variance(x) + epsilon) · weight (+ bias), row by row or part by part (Ba et al. 2016). */
import type { OpRule } from '../rule.ts';
import { inferNorm, type Norm } from './norm-operands.ts';

export interface LayerNorm extends Norm {
  readonly op: 'layer-norm';
}

export const layerNorm: OpRule<LayerNorm> = {
  op: 'layer-norm',
  readsStep: false,
  inPlace: 0,
  infer: (operation, operands) => inferNorm(operation, operands, 'layer-norm'),
  /**
   * The mean of D values is off by d ≤ D·u · mean|x|, and with it every difference c = x - mean; their squares gain d²
   * each, since differences sum to 0. With r = 1 / sqrt(variance + epsilon) the result without its bias is off by
   * |w| r (d + |c| ((D/2 + 5)·u + d² r²)).
   */
  errorBound({ operation, operands, result, roundoff: { unit } }) {
    const [input, weight, bias] = operands.map((operand) => operand.data);
    const size = (operands[0]?.shape[1] ?? 0) / (operation.groups ?? 1);
    const bounds = new Float64Array(result.length);
    for (let start = 0; start < result.length; start += size) {
      const x = input?.subarray(start, start + size) ?? new Float64Array();
      const mean = x.reduce((sum, value) => sum + value, 0) / size;
      const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / size;
      const scale = 1 / Math.sqrt(variance + operation.epsilon);
      const shift = (size * unit * x.reduce((sum, value) => sum + Math.abs(value), 0)) / size;
      for (let i = 0; i < size; i++) {
        const place = start + i;
        const factor = Math.abs(weight?.[place % weight.length] ?? 0) * scale;
        const centered = Math.abs((x[i] ?? 0) - mean);
        const own = shift + centered * ((size / 2 + 5) * unit + (shift * scale) ** 2);
        const added = bias ? Math.abs(result[place] ?? 0) + Math.abs(bias[place % bias.length] ?? 0) : 0;
        bounds[place] = factor * own + added * unit;
      }
    }
    return bounds;
  },
};
