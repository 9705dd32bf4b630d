/**
 * A small product whose result is known, which every kernel of products must give on a device before it is used there:
 * packed weights of random bits, decoded from the description of their layout in float64.
 */
import { known } from '../../../base/error.ts';
import type { Gating } from '../../../graph.ts';
import { floatBits, type KernelCheck } from '../shader/kernel.ts';
import { orderOf, type ProductShape } from '../shader/product.ts';
import { noise } from './noise.ts';
import { innerOf, type PackedPart, packedPart, placeParams } from './packed-part.ts';
import { referenceResult, rowsOf } from './reference-result.ts';

/** Columns and rows that no tile divides. */
const columns = 70;
const epsilon = 1e-5;

interface PartCase extends PackedPart {
  readonly bias: Float32Array<ArrayBuffer>;
}

export interface ProductCase {
  /** Of the kernel's tile. */
  readonly rows: number;
  readonly columns: number;
  /** Inputs are multiples of a 127th of the largest of their block, which a kernel may round to. */
  readonly inBytes?: boolean;
  /** Share of the terms' sizes that the result may be off. */
  readonly rounding?: number;
}

export function productCheck(shape: ProductShape, tile: ProductCase): KernelCheck {
  const { inBytes = false, rounding = 1e-4 } = tile;
  const inner = innerOf(shape.layouts);
  const rows = tile.rows === 1 ? 1 : tile.rows + 1;
  const parts = shape.layouts.map((layout, index): PartCase => {
    return { ...packedPart(layout, columns, inner, 2 * index), bias: noise(columns, 20 + index) };
  });
  const input = inBytes ? bytes(noise(rows * inner, 30)) : noise(rows * inner, 30);
  const gain = inBytes ? signs(noise(inner, 31)) : noise(inner, 31);
  const results = shape.gating ? 1 : parts.length;
  const residual = noise(rows * columns, 32);
  const residualAt = rows * inner;
  const outAt = (part: number): number => residualAt + (1 + part) * rows * columns;
  // Whole vectors.
  const arena = new Float32Array(Math.ceil((outAt(results) + 4) / 4) * 4);
  arena.set(input);
  arena.set(residual, residualAt);
  const params: Record<string, number> = {
    ...{ rows, k4: inner / 4, x: 0, epsilon: floatBits(epsilon), residual: residualAt },
  };
  let groups = 0;
  parts.forEach(({ place }, index) => {
    if (!shape.gating || index === 0) groups += Math.ceil(columns / tile.columns);
    Object.assign(params, {
      ...{ [`w${index}n`]: columns, [`w${index}first`]: 0, [`w${index}end`]: groups },
      ...placeParams(place, `w${index}`),
      ...{ [`w${index}biased`]: 1, [`w${index}out`]: outAt(index), [`w${index}width`]: columns },
    });
  });
  const tiles = Math.ceil(rows / tile.rows);
  Object.assign(params, orderOf(tiles, groups, true));
  const expected = new Float64Array(results * rows * columns);
  const bounds = new Float64Array(expected.length);
  for (let row = 0; row < rows; row++) {
    const x = input.subarray(row * inner, (row + 1) * inner);
    const squares = x.reduce((sum, value) => sum + value * value, 0);
    const root = shape.norm ? 1 / Math.sqrt(squares / inner + epsilon) : 1;
    for (let column = 0; column < columns; column++) {
      const sums = parts.map(({ values, bias }) => {
        let [sum, size] = [0, 0];
        for (let k = 0; k < inner; k++) {
          const term = (x[k] ?? 0) * (shape.norm ? (gain[k] ?? 0) : 1) * (values[column * inner + k] ?? 0);
          sum += term;
          size += Math.abs(term);
        }
        return { y: sum * root + (bias[column] ?? 0), size: size * root + 1 };
      });
      for (let part = 0; part < results; part++) {
        const place = (part * rows + row) * columns + column;
        const { y, size } = known(sums[part], 'sum');
        const up = sums[1];
        const gated = shape.gating && up ? gate(shape.gating, y, up.y) : y;
        const growth = shape.gating && up ? (Math.abs(up.y) + Math.abs(y) + 1) * (up.size / size + 1) : 1;
        expected[place] = gated + (shape.residual ? (residual[row * columns + column] ?? 0) : 0);
        bounds[place] = size * growth * rounding;
      }
    }
  }
  return {
    buffers: [
      arena,
      ...parts.map(({ words }) => words),
      ...parts.map(({ bias }) => bias),
      ...(shape.norm ? [gain] : []),
    ],
    params,
    groups: [groups * tiles, 1, 1],
    results: [{ binding: 0, first: outAt(0), count: expected.length }],
    expected,
    bounds,
  };
}

const gate = (gating: Gating, y: number, up: number): number =>
  referenceResult({ op: 'gated', ...gating }, [rowsOf([y], 1), rowsOf([up], 1)], 1)[0] ?? 0;

/** The first of each block is the largest there may be. */
const bytes = (values: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> =>
  values.map((value, index) => (index % 32 === 0 ? 127 : Math.round(value * 127)) / 128);

const signs = (values: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> => values.map(Math.sign);
