/** Cases for rotations, for what writes the cache and for what moves its rows. */
import type { Operation } from '../../../graph.ts';
import {
  type CacheShape,
  cachePlaces,
  cacheWriteThreads,
  type Rotation,
  unitsPerHead,
} from '../shader/cache.ts';
import { floatBits, type KernelCheck } from '../shader/kernel.ts';
import { turnsOf } from '../turns.ts';
import { cachedRow, keepingShare, pageCase } from './cache-pages.ts';
import { noise } from './noise.ts';
import { near, referenceResult, rowsOf } from './reference-result.ts';
import { stepCase } from './step-case.ts';

/** The last is so large that a turn in float32 would be off by a tenth. */
const positions = [0, 130, 1_000_003];
const cacheRows = [126, 127, 128];
const rows = positions.length;
const magnitude = 1.25;

const frequenciesOf = ({ pairCount }: Rotation): number[] =>
  Array.from({ length: pairCount }, (_, pair) => 10_000 ** (-pair / pairCount));

function turned(rotation: Rotation, input: Float32Array, step: ReturnType<typeof stepCase>): Float64Array {
  const { headCount, headSize, pairing } = rotation;
  const operation: Operation = {
    ...{ op: 'rope', headCount, headSize, pairing, magnitude },
    frequencies: frequenciesOf(rotation),
  };
  const operands = [rowsOf(input, headCount * headSize)];
  return referenceResult(operation, operands, input.length, { step: step.tables });
}

export function ropeCheck(rotation: Rotation): KernelCheck {
  const { headCount, headSize } = rotation;
  const input = noise(rows * headCount * headSize, 1);
  const arena = new Float32Array(Math.ceil((2 * input.length) / 4) * 4);
  arena.set(input);
  const step = stepCase({ rows: positions.map((position) => ({ position })) });
  const expected = turned(rotation, input, step);
  return {
    buffers: [arena, step.words, turnsOf(frequenciesOf(rotation))],
    params: { rows, x: 0, out: input.length, magnitude: floatBits(magnitude) },
    groups: [Math.ceil((rows * headCount * unitsPerHead(rotation)) / 64), 1, 1],
    results: [{ binding: 0, first: input.length, count: input.length }],
    ...{ expected, bounds: near(expected) },
  };
}

/** Rows at the end of one page and the beginning of the next. */
export function cacheWriteCheck(
  shape: CacheShape,
  bankCount: number,
  rotation?: { readonly keys: Rotation; readonly queryHeads: number },
): KernelCheck {
  const { type, keyValueHeadCount, keySize, valueSize } = shape;
  const places = cachePlaces(shape);
  const step = (pages: readonly number[]) =>
    stepCase({ rows: positions.map((position, t) => ({ position, cacheRow: cacheRows[t] ?? 0 })), pages });
  const { banks, addresses, pages } = pageCase(shape, bankCount, false);
  const block = step(addresses);
  const keys = noise(rows * keyValueHeadCount * keySize, 1);
  const values = noise(rows * keyValueHeadCount * valueSize, 2);
  const queries = noise(rotation ? rows * rotation.queryHeads * keySize : 0, 3);
  const valuesAt = keys.length;
  const queriesAt = valuesAt + values.length;
  const outAt = queriesAt + queries.length;
  const arena = new Float32Array(Math.ceil((outAt + queries.length) / 4) * 4 + 4);
  arena.set(keys);
  arena.set(values, valuesAt);
  arena.set(queries, queriesAt);
  const keptKeys = rotation ? turned(rotation.keys, keys, block) : Float64Array.from(keys);
  const keptQueries = rotation
    ? turned({ ...rotation.keys, headCount: rotation.queryHeads }, queries, block)
    : new Float64Array();
  const expected = Float64Array.of(...keptKeys, ...values, ...keptQueries);
  const kept = keptKeys.length + values.length;
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const bounds = near(expected).map(
    (bound, index) => bound + (index < kept ? largest * keepingShare[type] : 0),
  );
  const firstBank = rotation ? 3 : 2;
  return {
    buffers: [arena, block.words, ...(rotation ? [turnsOf(frequenciesOf(rotation.keys))] : []), ...banks],
    params: {
      ...{ rows, layer: 0, keys: 0, values: valuesAt, x: queriesAt, out: outAt },
      magnitude: floatBits(rotation ? magnitude : 1),
    },
    groups: [Math.ceil((rows * cacheWriteThreads(shape, rotation)) / 64), 1, 1],
    results: [
      ...pages.map((page, index) => ({
        binding: firstBank + (index === 0 ? 0 : bankCount - 1),
        first: index * page.length,
        count: page.length,
      })),
      ...(rotation ? [{ binding: 0, first: outAt, count: queries.length }] : []),
    ],
    valuesOf(words) {
      const page = (row: number) => words.subarray(row < 128 ? 0 : places.words, 2 * places.words);
      const part = (of: 'keys' | 'values') =>
        cacheRows.flatMap((row) => [...cachedRow(page(row), type, places[of], row)]);
      const turnedQueries = new Float32Array(words.buffer, 8 * places.words);
      return [...part('keys'), ...part('values'), ...turnedQueries];
    },
    ...{ expected, bounds },
  };
}

/** A row goes down over one that has gone before it. */
export function cacheMoveCheck(shape: CacheShape, bankCount: number): KernelCheck {
  const { banks, addresses, pages } = pageCase(shape, bankCount, true);
  const places = cachePlaces(shape);
  const moves = [
    [126, 3],
    [129, 126],
    [127, 129],
  ].map(([fromRow = 0, toRow = 0]) => ({ fromSequence: 0, fromRow, toSequence: 0, toRow }));
  const step = stepCase({ rows: [], pages: addresses, moves });
  const expected = new Uint32Array(2 * places.words);
  pages.forEach((page, index) => {
    expected.set(page, index * places.words);
  });
  for (const { fromRow, toRow } of moves) {
    for (const { start, rowWords, scales, scaleWords } of [places.keys, places.values]) {
      for (const [first, width] of [
        [start, rowWords],
        [scales, scaleWords],
      ] as const) {
        const placeOf = (row: number) => (row >> 7) * places.words + first + (row & 127) * width;
        expected.copyWithin(placeOf(toRow), placeOf(fromRow), placeOf(fromRow) + width);
      }
    }
  }
  const threads = [places.keys, places.values].reduce(
    (sum, { rowWords, scaleWords }) => sum + rowWords + scaleWords,
    0,
  );
  return {
    buffers: [step.words, ...banks],
    params: { layer: 0 },
    groups: [Math.ceil(threads / 64), 1, 1],
    results: pages.map((page, index) => ({
      binding: 1 + (index === 0 ? 0 : bankCount - 1),
      first: index * page.length,
      count: page.length,
    })),
    valuesOf: (words) => words,
    expected,
    bounds: new Uint32Array(expected.length),
  };
}
