/** Cases for the kernels of mixtures of experts. */
import type { Operation } from '../../../graph.ts';
import { leastSum } from '../../../graph.ts';
import { floatBits, type KernelCheck } from '../shader/kernel.ts';
import type { WeightLayout } from '../weight-layout.ts';
import { noise } from './noise.ts';
import { innerOf, packedPart, placeParams } from './packed-part.ts';
import { near, referenceResult, rowsOf } from './reference-result.ts';

const vectors = (values: number): Float32Array<ArrayBuffer> => new Float32Array(Math.ceil(values / 4) * 4);

/** With and without a bias differ in what is compared. */
export function routeCheck(operation: Extract<Operation, { op: 'route' }>): KernelCheck {
  const rows = 3;
  const { expertCount, usedCount, scale } = operation;
  const [input, bias] = [noise(rows * expertCount, 1, 3), noise(expertCount, 2, 0.3)];
  const count = rows * 2 * usedCount;
  const arena = vectors(input.length + count);
  arena.set(input);
  const operands = [rowsOf(input, expertCount), rowsOf(bias, expertCount)];
  const expected = referenceResult(operation, operands, count);
  return {
    buffers: [arena, bias],
    params: {
      ...{ rows, biased: 1, scale: floatBits(scale), leastSum: floatBits(leastSum) },
      ...{ x: 0, out: input.length },
    },
    groups: [1, 1, 1],
    results: [{ binding: 0, first: input.length, count }],
    ...{ expected, bounds: near(expected) },
  };
}

export function expertSumCheck(): KernelCheck {
  const [rows, usedCount, width] = [3, 2, 35];
  const [input, routes] = [noise(rows * usedCount * width, 1), noise(rows * 2 * usedCount, 2)];
  const count = rows * width;
  const outAt = input.length + routes.length;
  const arena = vectors(outAt + count);
  arena.set(input);
  arena.set(routes, input.length);
  const operands = [rowsOf(input, usedCount * width), rowsOf(routes, 2 * usedCount)];
  const expected = referenceResult({ op: 'expert-sum', usedCount }, operands, count);
  return {
    buffers: [arena],
    params: { count, width, used: usedCount, x: 0, routes: input.length, out: outAt },
    groups: [2, 1, 1],
    results: [{ binding: 0, first: outAt, count }],
    ...{ expected, bounds: near(expected) },
  };
}

/** An input for each of the chosen. */
export function expertProductCheck(layout: WeightLayout, lanes: number): KernelCheck {
  const [rows, expertCount, usedCount, columns] = [2, 3, 2, 11];
  const inner = innerOf([layout]);
  const { place, words, values } = packedPart(layout, expertCount * columns, inner, 1);
  const input = noise(rows * usedCount * inner, 2);
  const routes = Float32Array.of(2, 0, 0.5, 0.5, 1, 2, 0.5, 0.5);
  const bias = noise(expertCount * columns, 3);
  const count = rows * usedCount * columns;
  const outAt = input.length + routes.length;
  const arena = vectors(outAt + count);
  arena.set(input);
  arena.set(routes, input.length);
  const operands = [
    ...[rowsOf(input, usedCount * inner), rowsOf(values, inner), rowsOf(routes, 2 * usedCount)],
    rowsOf(bias, bias.length),
  ];
  const expected = referenceResult({ op: 'expert-matmul', expertCount, usedCount }, operands, count);
  const sizes = referenceResult(
    { op: 'expert-matmul', expertCount, usedCount },
    operands.map((operand, index) =>
      index === 2
        ? operand
        : rowsOf(
            index === 0 ? input.map(Math.abs) : index === 1 ? values.map(Math.abs) : bias.map(Math.abs),
            operand.width,
          ),
    ),
    count,
  );
  return {
    buffers: [arena, words, bias],
    params: {
      ...{ rows, used: usedCount, n: columns, k4: inner / 4, biased: 1, parts: usedCount },
      ...{ x: 0, routes: input.length, out: outAt, firstRow: 0, rowCount: expertCount * columns },
      ...placeParams(place, 'w0'),
    },
    groups: [Math.ceil((count * lanes) / 64), 1, 1],
    results: [{ binding: 0, first: outAt, count }],
    expected,
    bounds: sizes.map((size) => 1e-4 * (size + 1)),
  };
}
