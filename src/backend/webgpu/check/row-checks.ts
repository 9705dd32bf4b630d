/** Cases for the kernels on single rows. Sizes that neither four nor a workgroup divides, where the kernel takes such. */
import type { Operation } from '../../../graph.ts';
import { floatBits, type KernelCheck } from '../shader/kernel.ts';
import { blockValuesOf, type WeightLayout } from '../weight-layout.ts';
import { noise } from './noise.ts';
import { innerOf, packedPart, placeParams } from './packed-part.ts';
import { near, referenceResult, rowsOf } from './reference-result.ts';
import { stepCase } from './step-case.ts';

const vectors = (values: number): Float32Array<ArrayBuffer> => new Float32Array(Math.ceil(values / 4) * 4);

/** The operands one behind the other, room for the result behind them, from `outAt` on. */
function arenaOf(operands: readonly Float32Array[], results: number) {
  const outAt = operands.reduce((sum, { length }) => sum + length, 0);
  const arena = vectors(outAt + results);
  let end = 0;
  for (const operand of operands) {
    arena.set(operand, end);
    end += operand.length;
  }
  return { arena, outAt };
}

/** Of operations on one value, or on two at the same place. */
export function pairwiseCheck(operation: Operation): KernelCheck {
  const count = 70;
  const [left, right] = [noise(count, 1, 6), noise(count, 2, 6)];
  const { arena, outAt } = arenaOf([left, right], count);
  const expected = referenceResult(operation, [rowsOf(left, count), rowsOf(right, count)], count);
  return {
    buffers: [arena],
    params: { count, left: 0, right: count, out: outAt },
    groups: [2, 1, 1],
    results: [{ binding: 0, first: outAt, count }],
    ...{ expected, bounds: near(expected) },
  };
}

export function normCheck(kind: 'rms-norm' | 'layer-norm'): KernelCheck {
  const [rows, parts, size, epsilon] = [3, 2, 150, 1e-5];
  const width = parts * size;
  const input = noise(rows * width, 1, 3).map((value) => value + 0.5);
  const [gain, bias] = [noise(width, 2), noise(size, 3)];
  const { arena, outAt } = arenaOf([input], rows * width);
  const operands = [rowsOf(input, width), rowsOf(gain, width), rowsOf(bias, size)];
  const expected = referenceResult({ op: kind, epsilon, groups: parts }, operands, rows * width);
  return {
    buffers: [arena, gain, bias],
    params: {
      ...{ size, parts, rows, x: 0, out: outAt, epsilon: floatBits(epsilon), gains: width, biases: size },
    },
    groups: [rows * parts, 1, 1],
    results: [{ binding: 0, first: outAt, count: rows * width }],
    ...{ expected, bounds: near(expected) },
  };
}

export function embedCheck(layout: WeightLayout): KernelCheck {
  const [tableRows, columns, tokens] = [11, innerOf([layout]), [7, 0, 10]];
  const { place, words, values } = packedPart(layout, tableRows, columns, 1);
  const { arena, outAt } = arenaOf([], tokens.length * columns);
  const step = stepCase({ rows: tokens.map((token) => ({ token })) });
  const blocks = columns / blockValuesOf(layout);
  return {
    buffers: [arena, words, step.words],
    params: {
      ...{ rows: tokens.length, k4: columns / 4, field: 0, firstRow: 0, rowCount: tableRows, out: outAt / 4 },
      ...placeParams(place, 'w0'),
    },
    groups: [Math.ceil((tokens.length * blocks) / 64), 1, 1],
    ...embedded(values, columns, tokens, outAt),
  };
}

export function plainEmbedCheck(): KernelCheck {
  const [tableRows, columns, tokens] = [11, 30, [7, 0, 10]];
  const table = noise(tableRows * columns, 1);
  const { arena, outAt } = arenaOf([], tokens.length * columns);
  const step = stepCase({ rows: tokens.map((token) => ({ token })) });
  return {
    buffers: [arena, table, step.words],
    params: { rows: tokens.length, width: columns, field: 0, firstRow: 0, rowCount: tableRows, out: outAt },
    groups: [2, 1, 1],
    ...embedded(table, columns, tokens, outAt),
  };
}

function embedded(table: ArrayLike<number>, columns: number, tokens: readonly number[], outAt: number) {
  const step = stepCase({ rows: tokens.map((token) => ({ token })) });
  const count = tokens.length * columns;
  const expected = referenceResult({ op: 'embed' }, [rowsOf(table, columns)], count, { step: step.tables });
  return { results: [{ binding: 0, first: outAt, count }], expected, bounds: near(expected) };
}

export function plainProductCheck(): KernelCheck {
  const [rows, inner, columns] = [3, 21, 35];
  const [input, matrix, bias] = [noise(rows * inner, 1), noise(columns * inner, 2), noise(columns, 3)];
  const { arena, outAt } = arenaOf([input], rows * columns);
  const operands = [rowsOf(input, inner), rowsOf(matrix, inner), rowsOf(bias, columns)];
  const expected = referenceResult({ op: 'matmul' }, operands, rows * columns);
  return {
    buffers: [arena, matrix, bias],
    params: { rows, inner, n: columns, first: 0, biased: 1, width: columns, x: 0, out: outAt },
    groups: [Math.ceil((rows * columns) / 64), 1, 1],
    results: [{ binding: 0, first: outAt, count: rows * columns }],
    ...{ expected, bounds: near(expected) },
  };
}

export function selectCheck(): KernelCheck {
  const [width, selected] = [30, [3, 1]];
  const input = noise(4 * width, 1);
  const { arena, outAt } = arenaOf([input], selected.length * width);
  const step = stepCase({ rows: [{}, {}, {}, {}], selected });
  const count = selected.length * width;
  const expected = referenceResult({ op: 'select-rows' }, [rowsOf(input, width)], count, {
    step: step.tables,
  });
  return {
    buffers: [arena, step.words],
    params: { count, width, x: 0, out: outAt },
    groups: [1, 1, 1],
    results: [{ binding: 0, first: outAt, count }],
    ...{ expected, bounds: near(expected, 0) },
  };
}

/** The largest value stands in several places of the second row. */
export function argmaxCheck(): KernelCheck {
  const [rows, width] = [3, 150];
  const input = noise(rows * width, 1);
  for (const place of [149, 77, 141]) input[width + place] = 2;
  const { arena, outAt } = arenaOf([input], rows * 2);
  const expected = referenceResult({ op: 'argmax' }, [rowsOf(input, width)], rows * 2);
  return {
    buffers: [arena],
    params: { width, x: 0, out: outAt, rows },
    groups: [rows, 1, 1],
    results: [{ binding: 0, first: outAt, count: rows * 2 }],
    ...{ expected, bounds: near(expected, 0) },
  };
}
