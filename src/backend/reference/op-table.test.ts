/** Every operation on numbers small enough to work out by hand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Operation } from '../../graph.ts';
import type { LayerCache } from './layer-cache.ts';
import { runOperation } from './op-table.ts';
import { denseRows } from './rows.ts';
import type { StepTables, TableRow } from './step-tables.ts';

/** Keys and values of one number each, by sequence and cache row. */
function numberCache(): LayerCache {
  const rows = new Map<string, Float64Array>();
  const row = (name: string) => {
    const found = rows.get(name) ?? new Float64Array(1);
    rows.set(name, found);
    return found;
  };
  const cell = (part: string) => (sequence: number, cacheRow: number) =>
    row(`${part} ${sequence} ${cacheRow}`);
  const [key, value] = [cell('key'), cell('value')];
  return {
    key,
    value,
    write(sequence, cacheRow, keys, values) {
      key(sequence, cacheRow).set(keys);
      value(sequence, cacheRow).set(values);
    },
  };
}

const stepRow = (changes: Partial<TableRow>): TableRow => ({
  token: 0,
  position: 0,
  cacheRow: 0,
  visible: 1,
  maskLow: 0,
  maskHigh: 0,
  sequence: 0,
  ...changes,
});

const stepWith = (changes: Partial<StepTables>): StepTables => ({
  rows: [],
  selected: [],
  sequences: [{ pages: [], committed: 0 }],
  moves: [],
  ...changes,
});

interface Given {
  readonly operands: readonly (readonly number[][])[];
  readonly outputLength: number;
  readonly step?: Partial<StepTables>;
  readonly cache?: LayerCache;
}

function run(
  operation: Operation,
  { operands, outputLength, step = {}, cache = numberCache() }: Given,
): number[] {
  const output = new Float64Array(outputLength);
  runOperation({
    operation,
    operands: operands.map((rows) => denseRows(Float64Array.from(rows.flat()), rows[0]?.length ?? 0)),
    output,
    step: stepWith(step),
    cache: () => cache,
  });
  return [...output];
}

function expectClose(actual: readonly number[], expected: readonly number[]): void {
  assert.equal(actual.length, expected.length);
  actual.forEach((value, index) => {
    const wanted = expected[index] ?? Number.NaN;
    assert.ok(
      Math.abs(value - wanted) <= 1e-14 * Math.max(1, Math.abs(wanted)),
      `${actual} is not ${expected}`,
    );
  });
}

test('add', () => {
  assert.deepEqual(run({ op: 'add' }, { operands: [[[1, 2]], [[10, -2]]], outputLength: 2 }), [11, 0]);
});

test('matmul: rows times rows, then the bias', () => {
  const x = [
    [1, 2],
    [3, -1],
  ];
  const w = [
    [1, 0],
    [2, 5],
    [-1, 1],
  ];
  assert.deepEqual(run({ op: 'matmul' }, { operands: [x, w], outputLength: 6 }), [1, 12, 1, 3, 1, -4]);
  const biased = run({ op: 'matmul' }, { operands: [x, w, [[0.5, 0, 1]]], outputLength: 6 });
  assert.deepEqual(biased, [1.5, 12, 2, 3.5, 1, -3]);
});

test('rms-norm: the mean square of 1 and 7 is 25', () => {
  const operands = [[[1, 7]], [[10, 100]]];
  expectClose(run({ op: 'rms-norm', epsilon: 0 }, { operands, outputLength: 2 }), [2, 140]);
  expectClose(run({ op: 'rms-norm', epsilon: 75 }, { operands, outputLength: 2 }), [1, 70]);
});

test('gated: silu(0) = 0, silu(ln 3) = ¾ ln 3, silu(-ln 3) = -¼ ln 3', () => {
  const operands = [[[0, Math.log(3), -Math.log(3)]], [[5, 4, 4]]];
  const gated = run({ op: 'gated', activation: 'silu' }, { operands, outputLength: 3 });
  expectClose(gated, [0, 3 * Math.log(3), -Math.log(3)]);
});

test('gated by other functions', () => {
  const operands = [[[-3, 0, 2]], [[5, 4, 10]]];
  const gated = (activation: 'relu' | 'relu-squared') =>
    run({ op: 'gated', activation }, { operands, outputLength: 3 });
  expectClose(gated('relu'), [0, 0, 20]);
  expectClose(gated('relu-squared'), [0, 0, 40]);
  // The gate above the limit counts as 1, silu(1 · ln 3) with alpha ln 3: 1 / (1 + 1/3); the other factor is 1 at most.
  const clamped = { op: 'gated', activation: 'swiglu-clamped', alpha: Math.log(3), limit: 1 } as const;
  expectClose(run(clamped, { operands: [[[5, -1, 0]], [[9, -9, 3]]], outputLength: 3 }), [1.5, 0, 0]);
});

test('activate: gelu is x times the share of a normal distribution below x', () => {
  const operands = [[[0, 1, -1, 2, 9]]];
  const activate = (activation: 'gelu' | 'gelu-tanh' | 'silu' | 'relu') =>
    run({ op: 'activate', activation }, { operands, outputLength: 5 });
  // Φ(1) and Φ(2) from a table of the normal distribution.
  const [one, two] = [0.8413447460685429, 0.9772498680518208];
  expectClose(activate('gelu'), [0, one, one - 1, 2 * two, 9]);
  const tanh = activate('gelu-tanh');
  [0, one, one - 1, 2 * two, 9].forEach((value, index) => {
    assert.ok(
      Math.abs((tanh[index] ?? 0) - value) < 5e-4 && (index === 0 || index === 4 || tanh[index] !== value),
    );
  });
  expectClose(activate('relu'), [0, 1, 0, 2, 9]);
});

test('layer-norm: 1 and 7 are 3 below and above their mean', () => {
  const operands = [[[1, 7]], [[10, 100]], [[0.5, -1]]];
  expectClose(run({ op: 'layer-norm', epsilon: 0 }, { operands, outputLength: 2 }), [-9.5, 99]);
  expectClose(
    run({ op: 'layer-norm', epsilon: 7 }, { operands: operands.slice(0, 2), outputLength: 2 }),
    [-7.5, 75],
  );
});

test('norms part by part: one weight for all parts, or one for each', () => {
  const norm = (weight: number[], op: 'rms-norm' | 'layer-norm') =>
    run({ op, epsilon: 0, groups: 2 }, { operands: [[[1, 7, 30, 40]], [weight]], outputLength: 4 });
  // Root mean squares 5 and 25 √2; differences from the means ∓3 and ∓5.
  expectClose(norm([1, 2], 'rms-norm'), [0.2, 2.8, 1.2 / Math.SQRT2, 3.2 / Math.SQRT2]);
  expectClose(norm([1, 2, 3, 4], 'layer-norm'), [-1, 2, -3, 4]);
  const biased = [[[1, 7]], [[1, 1]], [[10, 20]]];
  expectClose(run({ op: 'rms-norm', epsilon: 0 }, { operands: biased, outputLength: 2 }), [10.2, 21.4]);
});

test('scale and softcap', () => {
  expectClose(run({ op: 'scale', factor: -2 }, { operands: [[[1, -3]]], outputLength: 2 }), [-2, 6]);
  // tanh(ln 3) = 8/10.
  const operands = [[[2 * Math.log(3), 0, -1e9]]];
  expectClose(run({ op: 'softcap', limit: 2 }, { operands, outputLength: 3 }), [1.6, 0, -2]);
});

test('route: softmax of 1, 2, 3, 4 parts; the lower number first among equals', () => {
  const logits = [[Math.log(2), Math.log(4), Math.log(1), Math.log(3)]];
  const base = { op: 'route', expertCount: 4, usedCount: 2, normalize: false, scale: 1 } as const;
  const routed = (changes: object, operands: number[][][] = [logits]) =>
    run({ ...base, gating: 'softmax', ...changes }, { operands, outputLength: 4 });
  expectClose(routed({}), [1, 3, 0.4, 0.3]);
  expectClose(routed({ normalize: true, scale: 7 }), [1, 3, 4, 3]);
  expectClose(routed({ gating: 'softmax-of-chosen' }), [1, 3, 4 / 7, 3 / 7]);
  expectClose(routed({ gating: 'sigmoid' }), [1, 3, 4 / 5, 3 / 4]);
  expectClose(routed({}, [[[0, 1, 1, 1]]]).slice(0, 2), [1, 2]);
});

test('route: a bias chooses and does not weigh; a sum near zero is taken for 1 / 16384', () => {
  const route = { op: 'route', expertCount: 4, usedCount: 2, normalize: false, scale: 1 } as const;
  const logits = [[Math.log(2), Math.log(4), Math.log(1), Math.log(3)]];
  const operands = [logits, [[0.25, 0, 0.5, 0]]];
  expectClose(run({ ...route, gating: 'softmax' }, { operands, outputLength: 4 }), [2, 0, 0.1, 0.2]);
  const faint = { ...route, expertCount: 2, usedCount: 1, gating: 'sigmoid', normalize: true } as const;
  const tiny = run(faint, { operands: [[[-40, -30]]], outputLength: 2 });
  expectClose(tiny, [1, 16384 / (1 + Math.exp(30))]);
});

test('expert-matmul: rows times the rows of their experts, one input for all or one each', () => {
  const weights = [
    [1, 0],
    [0, 1],
    [2, 5],
    [-1, 1],
    [3, 3],
    [4, 4],
  ];
  const routes = [
    [2, 0, 0.5, 0.5],
    [1, 2, 1, 0],
  ];
  const product = { op: 'expert-matmul', expertCount: 3, usedCount: 2 } as const;
  const same = [
    [
      [1, 2],
      [3, -1],
    ],
    weights,
    routes,
  ];
  assert.deepEqual(run(product, { operands: same, outputLength: 8 }), [9, 12, 1, 2, 1, -4, 6, 8]);
  const apart = [
    [
      [1, 2, 0, 1],
      [3, -1, 1, 1],
    ],
    weights,
    routes,
    [[1, 2, 3, 4, 5, 6]],
  ];
  assert.deepEqual(run(product, { operands: apart, outputLength: 8 }), [14, 18, 1, 3, 4, 0, 11, 14]);
});

test('expert-sum: weighted by the second half of the routes', () => {
  const operands = [
    [
      [1, 2, 3, 4],
      [5, 6, 7, 8],
    ],
    [
      [7, 3, 2, 10],
      [0, 1, -1, 0],
    ],
  ];
  const summed = run({ op: 'expert-sum', usedCount: 2 }, { operands, outputLength: 4 });
  assert.deepEqual(summed, [32, 44, -5, -6]);
});

test('rope: a quarter turn, half a turn, and what is not turned', () => {
  const step = { rows: [stepRow({ position: 1 }), stepRow({ position: 2 })] };
  const operands = [
    [
      [1, 2, 3, 4, 9],
      [1, 2, 3, 4, 9],
    ],
  ];
  const rope = (pairing: 'adjacent' | 'split', magnitude: number) =>
    run(
      { op: 'rope', headCount: 1, headSize: 5, pairing, frequencies: [Math.PI / 2, Math.PI], magnitude },
      { operands, outputLength: 10, step },
    );
  expectClose(rope('adjacent', 1), [-2, 1, -3, -4, 9, -1, -2, 3, 4, 9]);
  expectClose(rope('split', 1), [-3, -2, 1, -4, 9, -1, 2, -3, 4, 9]);
  expectClose(rope('adjacent', 2), [-4, 2, -6, -8, 9, -2, -4, 6, 8, 9]);
});

test('embed, select-rows', () => {
  const rows = [2, 0, 2].map((token) => stepRow({ token }));
  const table = [
    [1, 2],
    [3, 4],
    [5, 6],
  ];
  assert.deepEqual(
    run({ op: 'embed' }, { operands: [table], outputLength: 6, step: { rows } }),
    [5, 6, 1, 2, 5, 6],
  );
  const places = [2, 0].map((position) => stepRow({ token: 1, position }));
  assert.deepEqual(
    run({ op: 'embed', by: 'position' }, { operands: [table], outputLength: 4, step: { rows: places } }),
    [5, 6, 1, 2],
  );
  const step = { selected: [1, 0, 1] };
  assert.deepEqual(
    run({ op: 'select-rows' }, { operands: [table], outputLength: 6, step }),
    [3, 4, 1, 2, 3, 4],
  );
  const unknown = { rows: [stepRow({ token: 3 })] };
  assert.throws(
    () => run({ op: 'embed' }, { operands: [table], outputLength: 2, step: unknown }),
    RangeError,
  );
});

test('argmax: the first of equals', () => {
  const operands = [
    [
      [1, 3, 3],
      [-2, -2, -7],
      [-0, 0, -1],
    ],
  ];
  assert.deepEqual(run({ op: 'argmax' }, { operands, outputLength: 6 }), [1, 3, 0, -2, 0, -0]);
});

const sizes = { layer: 0, keyValueHeadCount: 1, keySize: 1, valueSize: 1 };

/** Keys 0, ln 2, ln 3, ln 4 … so that a query of 1 weighs row i by i + 1; values 1, 10, 100, … */
function decimalCache(): LayerCache {
  const cache = numberCache();
  for (let row = 0; row < 70; row++) {
    cache.key(0, row).fill(Math.log(row + 1));
    cache.value(0, row).fill(10 ** (row % 8));
  }
  return cache;
}

function attend(row: Partial<TableRow>, committed: number, window?: number, query = 1): number {
  const shape = window === undefined ? {} : { window };
  const [result] = run(
    { op: 'attention', ...sizes, headCount: 1, scale: 1, ...shape },
    {
      operands: [[[query]]],
      outputLength: 1,
      step: { rows: [stepRow(row)], sequences: [{ pages: [], committed }] },
      cache: decimalCache(),
    },
  );
  return result ?? Number.NaN;
}

test('attention: weights 1, 2, 3 of what the prefix shows', () => {
  expectClose([attend({ cacheRow: 0, visible: 1 }, 0)], [1]);
  expectClose([attend({ cacheRow: 2, visible: 3 }, 0)], [(1 + 20 + 300) / 6]);
  expectClose([attend({ cacheRow: 2, visible: 3 }, 0, undefined, 0)], [111 / 3]);
});

test('attention: a sink takes its part of the weights', () => {
  const attention = { op: 'attention', ...sizes, headCount: 1, scale: 1 } as const;
  const given = { outputLength: 1, step: { rows: [stepRow({ visible: 3 })] }, cache: decimalCache() };
  expectClose(run(attention, { ...given, operands: [[[1]], [[Math.log(4)]]] }), [(1 + 20 + 300) / 10]);
  expectClose(run(attention, { ...given, operands: [[[1]], [[800]]] }), [0]);
});

test('attention: capped scores', () => {
  // 2 tanh(score / 2) of the scores 0 and 2 ln 3 is 0 and 1.6.
  const cache = numberCache();
  cache.key(0, 1).fill(2 * Math.log(3));
  cache.value(0, 1).fill(1);
  const attention = { op: 'attention', ...sizes, headCount: 1, scale: 1, softCap: 2 } as const;
  const step = { rows: [stepRow({ visible: 2 })] };
  const result = run(attention, { operands: [[[1]]], outputLength: 1, step, cache });
  expectClose(result, [1 / (1 + Math.exp(-1.6))]);
});

test('attention: mask bits count from the committed rows, in both words', () => {
  expectClose([attend({ visible: 2, maskLow: 0b101 }, 2)], [(1 + 20 + 300 + 50_000) / 11]);
  expectClose([attend({ visible: 1, maskHigh: 1 << 1 }, 1)], [(1 + 35 * 100) / 36]);
  expectClose([attend({ visible: 0, maskLow: 1 << 31 }, 0)], [1e7]);
});

test('attention: a window keeps the last rows in logical order', () => {
  expectClose([attend({ cacheRow: 3, visible: 4 }, 0, 2)], [(300 + 4000) / 7]);
  expectClose([attend({ visible: 2, maskLow: 0b101 }, 2, 3)], [(20 + 300 + 50_000) / 10]);
  expectClose([attend({ cacheRow: 3, visible: 4 }, 0, 1)], [1000]);
  expectClose([attend({ cacheRow: 2, visible: 3 }, 0, 99)], [321 / 6]);
});

test('attention: groups of heads share a key and a value', () => {
  // Row 0: keys 0, 0 and values 0, 0. Row 1: keys ln 3, -ln 3 and values 8, -8.
  const wide: LayerCache = {
    key: (_, row) => Float64Array.of(row * Math.log(3), -row * Math.log(3)),
    value: (_, row) => Float64Array.of(row * 8, -row * 8),
    write: () => assert.fail('Attention writes nothing'),
  };
  const result = run(
    { op: 'attention', layer: 0, headCount: 4, keyValueHeadCount: 2, keySize: 1, valueSize: 1, scale: 1 },
    { operands: [[[1, 0, 1, 0]]], outputLength: 4, step: { rows: [stepRow({ visible: 2 })] }, cache: wide },
  );
  expectClose(result, [6, 4, -2, -4]);
});

test('cache-write and cache-move: rows go where the step says, moves in their order', () => {
  const cache = numberCache();
  const rows = [stepRow({ cacheRow: 3 }), stepRow({ cacheRow: 4, sequence: 1 })];
  run(
    { op: 'cache-write', ...sizes },
    {
      operands: [
        [[1], [2]],
        [[10], [20]],
      ],
      outputLength: 0,
      step: { rows },
      cache,
    },
  );
  assert.deepEqual([cache.key(0, 3)[0], cache.value(0, 3)[0]], [1, 10]);
  assert.deepEqual([cache.key(1, 4)[0], cache.value(1, 4)[0]], [2, 20]);
  const move = (fromSequence: number, fromRow: number, toSequence: number, toRow: number) => ({
    fromSequence,
    fromRow,
    toSequence,
    toRow,
  });
  run(
    { op: 'cache-move', layer: 0 },
    {
      operands: [],
      outputLength: 0,
      step: { moves: [move(0, 3, 0, 2), move(1, 4, 0, 3), move(0, 2, 1, 0)] },
      cache,
    },
  );
  assert.deepEqual([cache.key(0, 2)[0], cache.value(0, 3)[0], cache.value(1, 0)[0]], [1, 20, 10]);
});
