/** Walks rows part by part for the norms: each part, and the weight and bias that go with it. */
import { known } from '../../../base/error.ts';
import type { Operation } from '../../../graph.ts';
import type { OpCall } from '../op-table.ts';

type NormOperation = Extract<Operation, { op: 'rms-norm' | 'layer-norm' }>;

/** `normalize` gives the part without weight and bias. */
export function normalizeParts(
  { operation, operands, output }: OpCall<NormOperation>,
  normalize: (part: Float64Array) => Float64Array,
): void {
  const [input, weight] = [known(operands[0], 'input'), known(operands[1], 'weight').row(0).slice()];
  const bias = operands[2]?.row(0);
  const size = input.width / (operation.groups ?? 1);
  for (let row = 0; row < input.count; row++) {
    for (let start = 0; start < input.width; start += size) {
      normalize(input.row(row).subarray(start, start + size)).forEach((value, i) => {
        const place = start + i;
        output[row * input.width + place] =
          value * (weight[place % weight.length] ?? 0) + (bias?.[place % bias.length] ?? 0);
      });
    }
  }
}
