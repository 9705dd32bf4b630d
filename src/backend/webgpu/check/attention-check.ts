/** Cases for attention: rows that see a prefix over two pages, and rows of a tree behind it; a tile may be part full. */
import type { Operation } from '../../../graph.ts';
import { type AttentionShape, headsPerGroup, partialFloats } from '../shader/attention.ts';
import { cachePlaces } from '../shader/cache.ts';
import { floatBits, type KernelCheck } from '../shader/kernel.ts';
import { cachedRow, pageCase } from './cache-pages.ts';
import { noise } from './noise.ts';
import { near, referenceResult, rowsOf } from './reference-result.ts';
import { stepCase } from './step-case.ts';

const committed = 150;
const tableRows = [
  { visible: 131, maskLow: 0, maskHigh: 0 },
  { visible: committed, maskLow: 0b1011, maskHigh: 0b100 },
  { visible: committed, maskLow: 0b0100, maskHigh: 0 },
] as const;
const rows = tableRows.length;
const window = 100;
const softCap = 1.5;
const splits = 3;

export function attentionCheck(shape: AttentionShape, bankCount: number, split: boolean): KernelCheck {
  const { type, headCount, keyValueHeadCount, keySize, valueSize } = shape;
  const { banks, addresses, pages } = pageCase(shape, bankCount, true);
  const step = stepCase({ rows: tableRows, pages: addresses, committed });
  const queries = noise(rows * headCount * keySize, 5, 2);
  const sinks = noise(headCount, 6);
  const scale = 2 / Math.sqrt(keySize);
  const count = rows * headCount * valueSize;
  const arena = new Float32Array(queries.length + count);
  arena.set(queries);
  const places = cachePlaces(shape);
  const read = (part: 'keys' | 'values') => (_: number, row: number) =>
    cachedRow(pages[row >> 7] ?? new Uint32Array(), type, places[part], row);
  const operation: Operation = {
    ...{ op: 'attention', layer: 0, headCount, keyValueHeadCount, keySize, valueSize, scale },
    ...(shape.window ? { window } : {}),
    ...(shape.softCap ? { softCap } : {}),
  };
  const operands = [rowsOf(queries, headCount * keySize), ...(shape.sinks ? [rowsOf(sinks, headCount)] : [])];
  const cache = { key: read('keys'), value: read('values'), write: () => {} };
  const expected = referenceResult(operation, operands, count, { step: step.tables, cache });
  const partial = partialFloats(shape);
  const partials = new Float32Array(split ? rows * headCount * splits * partial : 4);
  return {
    buffers: [
      ...[arena, step.words, ...(split ? [partials] : [])],
      ...[...(shape.sinks ? [sinks] : []), ...banks],
    ],
    params: {
      ...{ layer: 0, rows, x: 0, out: queries.length / 4, splits: split ? splits : 1, window },
      ...{ scale: floatBits(scale), cap: floatBits(softCap) },
    },
    groups: [
      keyValueHeadCount * Math.ceil(headCount / keyValueHeadCount / headsPerGroup(shape)),
      ...[Math.ceil(rows / shape.rows), split ? splits : 1],
    ] as [number, number, number],
    results: split
      ? [{ binding: 2, first: 0, count: partials.length }]
      : [{ binding: 0, first: queries.length, count }],
    ...(split
      ? { valuesOf: (words) => merged(new Float32Array(words.buffer), rows * headCount, valueSize) }
      : {}),
    ...{ expected, bounds: near(expected, 1e-4, type === 'f16' ? 2 ** -15 : 1) },
  };
}

/** What `attention-merge` makes of partial sums. */
function merged(partials: Float32Array, heads: number, valueSize: number): Float64Array {
  const partial = valueSize + 4;
  const output = new Float64Array(heads * valueSize);
  for (let head = 0; head < heads; head++) {
    const starts = Array.from({ length: splits }, (_, stretch) => (head * splits + stretch) * partial);
    const at = (index: number): number => partials[index] ?? Number.NaN;
    const largest = Math.max(...starts.map((start) => at(start + valueSize)));
    const weights = starts.map((start) => Math.exp(at(start + valueSize) - largest));
    const sum = (place: number): number =>
      starts.reduce((total, start, index) => total + (weights[index] ?? 0) * at(start + place), 0);
    for (let i = 0; i < valueSize; i++) output[head * valueSize + i] = sum(i) / sum(valueSize + 1);
  }
  return output;
}

export function mergeCheck(shape: AttentionShape): KernelCheck {
  const { headCount, valueSize } = shape;
  const heads = rows * headCount;
  const partial = partialFloats(shape);
  const partials = noise(heads * splits * partial, 7).map((value, index) =>
    // Sums of weights are positive.
    index % partial === valueSize + 1 ? value + 2 : value,
  );
  const expected = merged(partials, heads, valueSize);
  return {
    buffers: [new Float32Array(heads * valueSize), partials],
    params: { rows, out: 0, splits },
    groups: [Math.ceil((heads * valueSize) / 256), 1, 1],
    results: [{ binding: 0, first: 0, count: heads * valueSize }],
    ...{ expected, bounds: near(expected) },
  };
}
