/**
 * How errors of operands reach a result: to first order, unless a rougher bound is smaller. Needed where a backend
 * fuses several operations, so that what lies between them cannot be looked at.
 */
import type { Activation, Operation, OperationName } from '../../src/graph.ts';

/** Values known up to an absolute error each; row-major. */
export interface Approximate {
  readonly data: Float64Array;
  readonly error: Float64Array;
  readonly shape: readonly [number, number];
}

type Propagate<O extends Operation> = (
  operation: O,
  operands: readonly Approximate[],
  result: Float64Array,
) => Float64Array;

const nothing: Approximate = { data: new Float64Array(), error: new Float64Array(), shape: [0, 0] };

const at = (values: Float64Array, index: number): number => values[index] ?? 0;

const largest = (values: Float64Array): number =>
  values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/** Largest Euclidean norm among the heads of `size` values. */
function largestNorm(values: Float64Array, size: number): number {
  let most = 0;
  for (let start = 0; start < values.length; start += size) {
    let sum = 0;
    for (let i = start; i < start + size; i++) sum += at(values, i) ** 2;
    most = Math.max(most, sum);
  }
  return Math.sqrt(most);
}

/** Slope of an activation about a value known up to an error: `gelu` has the steepest of those with a limit, 1.13. */
function slopeOf(activation: Activation, { data, error }: Approximate, index: number): number {
  return activation === 'relu-squared' ? 2 * (Math.abs(at(data, index)) + at(error, index)) : 1.13;
}

/** With r = 1/sqrt(mean x² + ε) over a part: |dy| ≤ r |w| (|dx| + |x| r² mean(|x||dx|)). */
function normError(
  { epsilon, groups = 1 }: Pick<Extract<Operation, { op: 'rms-norm' }>, 'epsilon' | 'groups'>,
  input: Approximate,
  weight: Approximate,
  result: Float64Array,
): Float64Array {
  const width = input.shape[1] / groups;
  return result.map((_value, index) => {
    const start = index - (index % width);
    let [squares, products] = [0, 0];
    for (let i = start; i < start + width; i++) {
      squares += at(input.data, i) ** 2;
      products += Math.abs(at(input.data, i)) * at(input.error, i);
    }
    const scale = 1 / Math.sqrt(squares / width + epsilon);
    const own = at(input.error, index) + Math.abs(at(input.data, index)) * scale ** 2 * (products / width);
    return scale * Math.abs(at(weight.data, index % weight.data.length)) * own;
  });
}

/** Operations whose result copies operands pass their errors on by running on the errors; they are not here. */
const table: {
  readonly [Name in OperationName]?: Propagate<Extract<Operation, { op: Name }>>;
} = {
  add: (_, [left = nothing, right = nothing], result) =>
    result.map((_value, index) => at(left.error, index) + at(right.error, index)),

  activate: ({ activation }, [input = nothing], result) =>
    result.map((_value, index) => at(input.error, index) * slopeOf(activation, input, index)),

  /** No function grows beyond its argument but the square; a clamped gate adds 1 to the other factor. */
  gated: (operation, [gate = nothing, up = nothing], result) =>
    result.map((_value, index) => {
      const x = Math.abs(at(gate.data, index));
      const upError = at(up.error, index);
      const clamps = operation.activation === 'swiglu-clamped';
      const activation = clamps ? 'silu' : operation.activation;
      const activated = activation === 'relu-squared' ? x * x : x;
      const factor = Math.abs(at(up.data, index)) + upError + (clamps ? 1 : 0);
      return slopeOf(activation, gate, index) * at(gate.error, index) * factor + activated * upError;
    }),

  /** As `rms-norm`, of differences from the mean, which is off by mean|dx| at most. */
  'layer-norm': (operation, [input = nothing, weight = nothing], result) => {
    const width = input.shape[1] / (operation.groups ?? 1);
    const centered = new Float64Array(result.length);
    const error = new Float64Array(result.length);
    for (let start = 0; start < result.length; start += width) {
      let [sum, errorSum] = [0, 0];
      for (let i = start; i < start + width; i++) {
        sum += at(input.data, i);
        errorSum += at(input.error, i);
      }
      for (let i = start; i < start + width; i++) {
        centered[i] = at(input.data, i) - sum / width;
        error[i] = at(input.error, i) + errorSum / width;
      }
    }
    return normError(operation, { data: centered, error, shape: input.shape }, weight, result);
  },

  matmul: (_, [input = nothing, weight = nothing], result) => {
    const [columns, inner] = weight.shape;
    return result.map((_value, index) => {
      const [row, column] = [Math.floor(index / columns), index % columns];
      let sum = 0;
      for (let k = 0; k < inner; k++) {
        sum += at(input.error, row * inner + k) * Math.abs(at(weight.data, column * inner + k));
      }
      return sum;
    });
  },

  'rms-norm': (operation, [input = nothing, weight = nothing], result) =>
    normError(operation, input, weight, result),

  scale: ({ factor }, [input = nothing], result) =>
    result.map((_value, index) => at(input.error, index) * Math.abs(factor)),

  /** Its slope is at most 1. */
  softcap: (_, [input = nothing], result) => result.map((_value, index) => at(input.error, index)),

  /** A turn of a pair mixes both errors. */
  rope: ({ headSize, pairing, frequencies, magnitude }, [input = nothing], result) =>
    result.map((_value, index) => {
      const place = index % headSize;
      const pairs = frequencies.length;
      if (place >= 2 * pairs) return at(input.error, index);
      const adjacent = place % 2 === 0 ? index + 1 : index - 1;
      const partner = pairing === 'adjacent' ? adjacent : place < pairs ? index + pairs : index - pairs;
      return magnitude * (at(input.error, index) + at(input.error, partner));
    }),

  /**
   * Operands are one query row and the keys and values it sees. An error e of every score changes each weight by a
   * factor within e^±2e, which a cap only lessens; whatever the weights, the mean stays among the values and zero.
   */
  attention: ({ scale, keySize }, [query = nothing, keys = nothing, values = nothing], result) => {
    const scores =
      scale *
      (largestNorm(query.error, keySize) *
        (largestNorm(keys.data, keySize) + largestNorm(keys.error, keySize)) +
        largestNorm(query.data, keySize) * largestNorm(keys.error, keySize));
    const turned = Math.min(Math.expm1(2 * scores), 2) * largest(values.data);
    return new Float64Array(result.length).fill(turned + largest(values.error));
  },
};

/** Undefined for operations that only copy. */
export function propagateErrors(
  operation: Operation,
  operands: readonly Approximate[],
  result: Float64Array,
): Float64Array | undefined {
  const propagate = table[operation.op] as Propagate<Operation> | undefined;
  return propagate?.(operation, operands, result);
}
