/** y = x Wᵀ (+ b): x [T, K], W [N, K], b [N]. The weight carries its number format; the backend picks the kernel. */
import { real } from '../../tensor.ts';
import { expectDim, type OpRule, operandOf } from '../rule.ts';

export interface Matmul {
  readonly op: 'matmul';
}

export const matmul: OpRule<Matmul> = {
  op: 'matmul',
  readsStep: false,
  infer(_, operands) {
    const [input, weight] = [operandOf(operands, 0, 'matmul'), operandOf(operands, 1, 'matmul')];
    expectDim(weight.shape[1], input.shape[1] ?? 0, 'matmul', weight);
    const bias = operands[2];
    if (bias) expectDim(bias.shape[0], weight.shape[0] ?? 0, 'matmul', bias);
    return { format: real, shape: [input.shape[0] ?? 0, weight.shape[0] ?? 0] };
  },
  /**
   * Sum of K products in any order: |error| ≤ K·u · Σ|x||w| (Higham, Accuracy and Stability, section 3.1), plus group by
   * group (largest |w|) · weight · Σ|x| for packed weights and (largest |x|) · operand · Σ|w| for quantized input.
   */
  errorBound({ operands, result, roundoff }) {
    const [x, w] = [operands[0], operands[1]];
    const bounds = new Float64Array(result.length);
    if (!x || !w) return bounds;
    const [rows = 0, inner = 0] = x.shape;
    const [columns = 0] = w.shape;
    const group = roundoff.operand > 0 || roundoff.weight > 0 ? roundoff.operandGroup : inner;
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        let products = 0;
        let rounded = 0;
        for (let start = 0; start < inner; start += group) {
          let [inputSum, inputLargest, weightSum, weightLargest] = [0, 0, 0, 0];
          for (let k = start; k < Math.min(inner, start + group); k++) {
            const a = Math.abs(x.data[row * inner + k] ?? 0);
            const b = Math.abs(w.data[column * inner + k] ?? 0);
            products += a * b;
            inputSum += a;
            weightSum += b;
            inputLargest = Math.max(inputLargest, a);
            weightLargest = Math.max(weightLargest, b);
          }
          rounded += inputLargest * weightSum * roundoff.operand + weightLargest * inputSum * roundoff.weight;
        }
        const place = row * columns + column;
        bounds[place] =
          products * inner * roundoff.unit + rounded + Math.abs(result[place] ?? 0) * 2 * roundoff.unit;
      }
    }
    return bounds;
  },
};
