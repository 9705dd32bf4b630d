/**
 * A small product whose result is known, which every kernel of products must give on a device before it is used there:
 * packed weights of random bits, decoded from the description of their layout in float64.
 */
import { known, NearfieldError } from '../../base/error.ts';
import { floatFromBfloat, floatFromHalf } from '../../base/half.ts';
import { uniformAt } from '../../base/random.ts';
import type { Gating } from '../../graph.ts';
import { runGated } from '../reference/op/gated.ts';
import { denseRows } from '../reference/rows.ts';
import type { StepTables } from '../reference/step-tables.ts';
import { floatBits, type KernelCheck } from './shader/kernel.ts';
import type { ProductShape } from './shader/product.ts';
import {
  type BlockLayout,
  type PartLayout,
  type Plane,
  partLayout,
  planeBits,
  scaleCount,
  type WeightLayout,
} from './weight-layout.ts';

/** Values along K: three blocks, so that lanes have unequal shares. Columns and rows that no tile divides. */
const inner = 96;
const columns = 70;
const epsilon = 1e-5;

interface PartCase {
  readonly place: PartLayout;
  readonly words: Uint32Array<ArrayBuffer>;
  readonly bias: Float32Array<ArrayBuffer>;
  readonly values: Float64Array;
}

/** `rows` and `width`: of a tile. */
export function productCheck(shape: ProductShape, tile: { rows: number; columns: number }): KernelCheck {
  const rows = tile.rows === 1 ? 1 : tile.rows + 1;
  const uniform = (index: number, stream: number): number => 2 * uniformAt(7, index, stream) - 1;
  const random = (count: number, stream: number) =>
    Float32Array.from({ length: count }, (_, index) => uniform(index, stream));
  const parts = shape.layouts.map((layout, index): PartCase => {
    const place = partLayout(layout, columns, inner);
    const words = randomPart(layout, place, 2 * index);
    return { place, words, bias: random(columns, 20 + index), values: decodePart(layout, place, words) };
  });
  const input = random(rows * inner, 30);
  const gain = random(inner, 31);
  const results = shape.gating ? 1 : parts.length;
  const residual = random(rows * columns, 32);
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
      [`w${index}plane0`]: (place.planes[0] ?? 0) / 4,
      [`w${index}plane1`]: (place.planes[1] ?? 0) / 4,
      [`w${index}scales`]: place.scales / 4,
      [`w${index}factors`]: place.factors / 4,
      ...{ [`w${index}biased`]: 1, [`w${index}out`]: outAt(index), [`w${index}width`]: columns },
    });
  });
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
        bounds[place] = size * growth * 1e-4;
      }
    }
  }
  return {
    arena,
    buffers: [
      ...parts.map(({ words }) => words),
      ...parts.map(({ bias }) => bias),
      ...(shape.norm ? [gain] : []),
    ],
    params,
    groups: [groups, 1, Math.ceil(rows / tile.rows)],
    outAt: outAt(0),
    expected,
    bounds,
  };
}

const gate = (gating: Gating, y: number, up: number): number => {
  const output = new Float64Array(1);
  const operands = [y, up].map((value) => denseRows(Float64Array.of(value), 1));
  const step: StepTables = { rows: [], selected: [], sequences: [], moves: [] };
  const cache = (): never => {
    throw new NearfieldError('internal', 'A gate has no cache');
  };
  runGated({ operation: { op: 'gated', ...gating }, operands, output, step, cache });
  return output[0] ?? 0;
};

/** Random bits as codes; scales, biases and floats of ordinary size; factors that are powers of two. */
function randomPart(layout: WeightLayout, place: PartLayout, stream: number): Uint32Array<ArrayBuffer> {
  const words = Uint32Array.from({ length: place.byteLength / 4 }, (_, index) =>
    Math.floor(uniformAt(11, index, stream) * 2 ** 32),
  );
  const halves = new Uint16Array(words.buffer);
  // From 1 to 2, of either sign.
  const half = (bits: number): number => (bits & 0x83ff) | 0x3c00;
  const bfloat = (bits: number): number => (bits & 0x807f) | 0x3f80;
  if (layout.kind === 'float') {
    if (layout.name === 'f32')
      for (let i = 0; i < words.length; i++) words[i] = floatBits((words[i] ?? 0) / 2 ** 31 - 1);
    else
      for (let i = 0; i < halves.length; i++)
        halves[i] = (layout.name === 'f16' ? half : bfloat)(halves[i] ?? 0);
    return words;
  }
  for (let i = place.scales / 2; i < place.factors / 2; i++) {
    halves[i] = (layout.scale === 'half' ? half : bfloat)(halves[i] ?? 0);
  }
  for (let row = 0; row < columns; row++)
    words[place.factors / 4 + row] = floatBits(row % 2 === 0 ? 0.5 : 0.25);
  return words;
}

const codeAt: Readonly<
  Record<Plane, (words: Uint32Array, at: number, block: number, code: number) => number>
> = {
  nibble: (words, at, block, code) =>
    ((words[at + block * 4 + ((code & 15) >> 2)] ?? 0) >>> (8 * (code & 3) + (code >= 16 ? 4 : 0))) & 15,
  byte: (words, at, block, code) => ((words[at + block * 8 + (code >> 2)] ?? 0) >>> (8 * (code & 3))) & 255,
  pair: (words, at, block, code) => ((words[at + block * 2 + (code >> 4)] ?? 0) >>> (2 * (code & 15))) & 3,
  bit: (words, at, block, code) => ((words[at + block] ?? 0) >>> code) & 1,
};

function decodePart(layout: WeightLayout, place: PartLayout, words: Uint32Array<ArrayBuffer>): Float64Array {
  const values = new Float64Array(columns * inner);
  const halves = new Uint16Array(words.buffer);
  const floats = new Float32Array(words.buffer);
  if (layout.kind === 'float') {
    const read = layout.name === 'f16' ? floatFromHalf : floatFromBfloat;
    return values.map((_, index) =>
      layout.name === 'f32' ? (floats[index] ?? 0) : read(halves[index] ?? 0),
    );
  }
  return values.map((_, index) => {
    const [block, code] = [Math.floor(index / 32), index % 32];
    const factor = floats[place.factors / 4 + Math.floor(index / inner)] ?? 0;
    return factor * blockValue(layout, place, words, halves, block, code);
  });
}

function blockValue(
  layout: BlockLayout,
  place: PartLayout,
  words: Uint32Array,
  halves: Uint16Array,
  block: number,
  position: number,
): number {
  let code = 0;
  let below = 0;
  layout.planes.forEach((plane, index) => {
    code |= codeAt[plane](words, (place.planes[index] ?? 0) / 4, block, position) << below;
    below += planeBits[plane];
  });
  const half = layout.scales === 2 && position >= 16 ? 1 : 0;
  const number = (index: number): number => {
    const bits = halves[place.scales / 2 + block * scaleCount(layout) + index] ?? 0;
    return layout.scale === 'half' ? floatFromHalf(bits) : floatFromBfloat(bits);
  };
  // Codes beyond a table's levels stand for nothing; kernels give them -128.
  if (layout.levels) return number(half) * (layout.levels[code] ?? -128);
  const bias = layout.bias ? number(layout.scales + half) : 0;
  return number(half) * (code - layout.zero) + bias;
}
