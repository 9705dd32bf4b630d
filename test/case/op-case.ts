/** What a case is: a tiny graph, how its weights are filled, and the steps it runs over one cache. */
import type { NumberFormat } from '../../src/format.ts';
import type { Graph, GraphBuilder, Value } from '../../src/graph.ts';
import { type Random, randomFrom } from './random.ts';
import type { CaseStep } from './timeline.ts';

/** Values of a weight before they are encoded, row-major. */
export type Fill = (random: Random, index: number, width: number) => number;

export interface OpCase {
  readonly name: string;
  build(builder: GraphBuilder): Graph;
  /** By tensor name; others are normal with deviation 1. Bytes are a block of the format, which all blocks repeat. */
  readonly fills?: Readonly<Record<string, Fill | Uint8Array>>;
  readonly steps: readonly CaseStep[];
}

export const normal =
  (deviation: number): Fill =>
  (random) =>
    random.normal() * deviation;

export const between =
  (low: number, high: number): Fill =>
  (random) =>
    low + (high - low) * random.uniform();

/** Rows of very different size, one of them zero. */
export const unevenRows: Fill = (random, index, width) =>
  random.normal() * ([1, 0, 1e3, 1e-3, 1][Math.floor(index / width) % 5] ?? 1);

/** A graph that ends in `make`'s value: its selected rows stand for the logits. */
export function endIn(builder: GraphBuilder, make: (builder: GraphBuilder) => Value): Graph {
  return builder.finish(make(builder), (selected) => selected);
}

/** The bytes of a weight as a file would hold them. */
export function weightBytes(
  name: string,
  format: NumberFormat,
  shape: readonly number[],
  fill: Fill | Uint8Array = normal(1),
): Uint8Array {
  const random = randomFrom(`${name} ${format.name} ${shape.join('×')}`);
  const width = shape.at(-1) ?? 0;
  const valueCount = shape.reduce((product, size) => product * size, 1);
  const blockCount = valueCount / format.blockValues;
  const bytes = new Uint8Array(blockCount * format.blockBytes);
  if (format.encode && typeof fill === 'function') {
    const values = Float64Array.from({ length: valueCount }, (_, index) => fill(random, index, width));
    format.encode(values, 0, bytes, 0, blockCount);
  } else {
    const block = () => (typeof fill === 'function' ? validBlock(format, random) : fill);
    for (let at = 0; at < bytes.length; at += format.blockBytes) bytes.set(block(), at);
  }
  return bytes;
}

/** Random bytes that stand for finite values, the largest of which lies within the bounds. */
export function validBlock(
  format: NumberFormat,
  random: Random,
  { least, most } = { least: 0.5, most: 8 },
): Uint8Array {
  const bytes = new Uint8Array(format.blockBytes);
  const values = new Float64Array(format.blockValues);
  for (let attempt = 0; attempt < 100_000; attempt++) {
    for (let i = 0; i < bytes.length; i++) bytes[i] = random.below(256);
    format.decode(bytes, 0, values, 0, 1);
    const largest = values.reduce((size, value) => Math.max(size, Math.abs(value)), 0);
    if (largest > least && largest < most) return bytes;
  }
  throw new Error(`No random block of ${format.name} has ordinary values`);
}
