/** y = x Wᵀ (+ b): x [T, K], W [N, K], b [N]. The weight carries its number format; the backend picks the kernel. */
import { real } from '../../tensor.ts';
import { expectDim, type OpRule, operandOf, type Roundoff } from '../rule.ts';

export interface Matmul {
  readonly op: 'matmul';
}

export const matmul: OpRule<Matmul> = {
  op: 'matmul',
  readsStep: false,
  product: { input: 0, weight: 1 },
  infer(_, operands) {
    const [input, weight] = [operandOf(operands, 0, 'matmul'), operandOf(operands, 1, 'matmul')];
    expectDim(weight.shape[1], input.shape[1] ?? 0, 'matmul', weight);
    const bias = operands[2];
    if (bias) expectDim(bias.shape[0], weight.shape[0] ?? 0, 'matmul', bias);
    return { format: real, shape: [input.shape[0] ?? 0, weight.shape[0] ?? 0] };
  },
  errorBound({ operands, result, roundoff }) {
    const [x, w] = [operands[0], operands[1]];
    if (!x || !w) return new Float64Array(result.length);
    const inner = x.shape[1] ?? 0;
    const columns = w.shape[0] ?? 0;
    return result.map((value, place) => {
      const [row, column] = [Math.floor(place / columns), place % columns];
      const xs = x.data.subarray(row * inner, (row + 1) * inner);
      return productBound(xs, w.data.subarray(column * inner, (column + 1) * inner), value, roundoff);
    });
  },
};

/**
 * Sum of K products in any order: |error| ≤ K·u · Σ|x||w| (Higham, Accuracy and Stability, section 3.1), plus group by
 * group (largest |w|) · weight · Σ|x| for packed weights and (largest |x|) · operand · Σ|w| for quantized input.
 */
export function productBound(x: Float64Array, w: Float64Array, result: number, roundoff: Roundoff): number {
  const inner = x.length;
  const group = roundoff.operand > 0 || roundoff.weight > 0 ? roundoff.operandGroup : inner;
  let [products, rounded] = [0, 0];
  for (let start = 0; start < inner; start += group) {
    let [inputSum, inputLargest, weightSum, weightLargest] = [0, 0, 0, 0];
    for (let k = start; k < Math.min(inner, start + group); k++) {
      const a = Math.abs(x[k] ?? 0);
      const b = Math.abs(w[k] ?? 0);
      products += a * b;
      inputSum += a;
      weightSum += b;
      inputLargest = Math.max(inputLargest, a);
      weightLargest = Math.max(weightLargest, b);
    }
    rounded += inputLargest * weightSum * roundoff.operand + weightLargest * inputSum * roundoff.weight;
  }
  return products * inner * roundoff.unit + rounded + Math.abs(result) * 2 * roundoff.unit;
}
