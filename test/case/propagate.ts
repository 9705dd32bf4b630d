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

/** What a biased choice compares; its errors are at most those of the logits. */
function comparedWith(gating: string, logits: Float64Array, bias: Float64Array): Float64Array {
  const most = Math.max(...logits);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - most), 0);
  return logits.map((logit, expert) => {
    const scores: Record<string, number> = {
      softmax: Math.exp(logit - most) / sum,
      sigmoid: 1 / (1 + Math.exp(-logit)),
    };
    return (scores[gating] ?? logit) + at(bias, expert);
  });
}

/** Whether no error changes which values are the largest, nor their order. */
function isCertain(values: Float64Array, errors: Float64Array, count: number): boolean {
  const places = [...values.keys()].sort((a, b) => at(values, b) - at(values, a));
  return places.slice(0, count).every((place, rank) =>
    places.slice(rank + 1).every((other) => {
      const error = at(errors, place) + at(errors, other);
      return error === 0 || at(values, place) - at(values, other) > error;
    }),
  );
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

  /**
   * Which experts are chosen does not follow small errors. Where those of the logits could change the choice or its order,
   * nothing is known of what follows, and the bound is infinite: a case whose bounds are, is no case. Elsewhere an error e
   * of the logits is a factor within e^±2e of a share, and of a sigmoid within e^±e; normalizing doubles it.
   */
  route: (operation, [logits = nothing, bias], result) => {
    const { expertCount, usedCount, normalize, gating } = operation;
    return result.map((value, index) => {
      const [row, place] = [Math.floor(index / (2 * usedCount)), index % (2 * usedCount)];
      const own = (values: Float64Array) => values.subarray(row * expertCount, (row + 1) * expertCount);
      const [data, error] = [own(logits.data), own(logits.error)];
      const compared = bias ? comparedWith(gating, data, bias.data) : data;
      if (!isCertain(compared, error, usedCount)) return Number.POSITIVE_INFINITY;
      if (place < usedCount) return 0;
      return Math.abs(value) * Math.expm1(2 * largest(error) * (normalize ? 2 : 1));
    });
  },

  /** Where the choice is not certain, nothing is. */
  'expert-matmul': (operation, [input = nothing, weight = nothing, routes = nothing], result) => {
    const { expertCount, usedCount } = operation;
    const inner = weight.shape[1];
    const columns = weight.shape[0] / expertCount;
    const parts = input.shape[1] / inner;
    return result.map((_value, index) => {
      const [place, column] = [Math.floor(index / columns), index % columns];
      const [row, used] = [Math.floor(place / usedCount), place % usedCount];
      const chosen = row * 2 * usedCount + used;
      if (at(routes.error, chosen) > 0) return Number.POSITIVE_INFINITY;
      const wStart = (at(routes.data, chosen) * columns + column) * inner;
      const xStart = (row * parts + (parts > 1 ? used : 0)) * inner;
      let sum = 0;
      for (let k = 0; k < inner; k++) {
        sum += at(input.error, xStart + k) * Math.abs(at(weight.data, wStart + k));
      }
      return sum;
    });
  },

  'expert-sum': ({ usedCount }, [input = nothing, routes = nothing], result) => {
    const width = input.shape[1] / usedCount;
    return result.map((_value, index) => {
      const [row, column] = [Math.floor(index / width), index % width];
      let sum = 0;
      for (let used = 0; used < usedCount; used++) {
        const x = (row * usedCount + used) * width + column;
        const weight = (row * 2 + 1) * usedCount + used;
        const own = Math.abs(at(input.data, x)) + at(input.error, x);
        sum += Math.abs(at(routes.data, weight)) * at(input.error, x) + at(routes.error, weight) * own;
      }
      return Number.isNaN(sum) ? Number.POSITIVE_INFINITY : sum;
    });
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
