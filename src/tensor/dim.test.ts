import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NearfieldError } from '../base/error.ts';
import { uniformAt } from '../base/random.ts';
import {
  addDims,
  alignDim,
  ceilingDivideDim,
  type Dim,
  dimBounds,
  dimsEqual,
  evaluateDim,
  isAtLeast,
  maximumDim,
  multiplyDims,
  subtractDims,
  symbolDim,
} from './dim.ts';

const symbols = [
  { name: 'T', index: 0, min: 1, max: 512 },
  { name: 'R', index: 1, min: 0, max: 64 },
] as const;
const [T, R] = symbols.map(symbolDim) as [Dim, Dim];

test('equal sizes have one form, whatever the order they were built in', () => {
  const forms: [Dim, string][] = [
    [addDims(T, 3, T, R), 'R + 2·T + 3'],
    [addDims(R, multiplyDims(2, T), 1, 2), 'R + 2·T + 3'],
    [multiplyDims(addDims(T, 1), addDims(T, -1)), 'T·T - 1'],
    [multiplyDims(T, R), 'R·T'],
    [multiplyDims(R, T), 'R·T'],
    [multiplyDims(R, addDims(T, 2)), '2·R + R·T'],
    [multiplyDims(-1, T), '-T'],
    [subtractDims(R, T), 'R - T'],
  ];
  for (const [dim, text] of forms) assert.equal(`${dim}`, text);
});

test('what cancels becomes a plain number', () => {
  assert.equal(subtractDims(addDims(T, 5), T), 5);
  assert.equal(subtractDims(multiplyDims(T, R), multiplyDims(R, T)), 0);
  assert.equal(multiplyDims(T, 0), 0);
  assert.equal(addDims(), 0);
  assert.equal(multiplyDims(), 1);
  assert.ok(Object.is(multiplyDims(-1, 0), 0));
});

test('ceilings let whole parts out and reduce the rest', () => {
  const forms: [Dim, string][] = [
    [ceilingDivideDim(addDims(multiplyDims(8, T), 3), 4), '2·T + 1'],
    [ceilingDivideDim(addDims(multiplyDims(9, T), 5), 4), '2·T + ⌈(T + 1)/4⌉ + 1'],
    [ceilingDivideDim(addDims(multiplyDims(6, T), 1), 4), 'T + ⌈(T + 1)/2⌉'],
    [ceilingDivideDim(addDims(multiplyDims(3, T), 1), 4), '⌈(3·T + 1)/4⌉'],
    [ceilingDivideDim(addDims(T, -3), 4), '⌈(T + 1)/4⌉ - 1'],
    [ceilingDivideDim(ceilingDivideDim(T, 4), 8), '⌈(T)/32⌉'],
    [ceilingDivideDim(addDims(ceilingDivideDim(T, 4), 3), 8), '⌈(T + 12)/32⌉'],
    [ceilingDivideDim(T, 1), 'T'],
    [alignDim(T, 64), '64·⌈(T)/64⌉'],
    [alignDim(multiplyDims(T, 128), 64), '128·T'],
    [alignDim(alignDim(T, 64), 64), '64·⌈(T)/64⌉'],
  ];
  for (const [dim, text] of forms) assert.equal(`${dim}`, text);
  assert.equal(ceilingDivideDim(7, 4), 2);
  assert.ok(Object.is(ceilingDivideDim(-3, 4), 0));
  for (const divisor of [0, -1, 1.5, Number.NaN]) {
    assert.throws(() => ceilingDivideDim(T, divisor), NearfieldError);
  }
});

test('maxima keep only what may be the largest', () => {
  assert.equal(`${maximumDim(T, R)}`, 'max(R, T)');
  assert.equal(`${maximumDim(R, T)}`, 'max(R, T)');
  assert.equal(`${maximumDim(T, multiplyDims(2, T))}`, '2·T');
  assert.equal(maximumDim(3, 7), 7);
  assert.equal(`${maximumDim(T, 1)}`, 'T');
  assert.equal(`${maximumDim(T, 2)}`, 'max(2, T)');
  assert.equal(`${maximumDim(maximumDim(T, R), T)}`, 'max(R, T)');
  assert.equal(`${maximumDim(maximumDim(T, R), multiplyDims(3, R))}`, 'max(3·R, T)');
  assert.equal(`${maximumDim(maximumDim(T, 9), maximumDim(R, 7))}`, 'max(9, R, T)');
  assert.equal(maximumDim(maximumDim(T, 9), 600), 600);
});

test('bounds hold every value', () => {
  assert.deepEqual(dimBounds(addDims(multiplyDims(2, T), R, -1)), { min: 1, max: 1087 });
  assert.deepEqual(dimBounds(multiplyDims(T, R)), { min: 0, max: 512 * 64 });
  assert.deepEqual(dimBounds(ceilingDivideDim(T, 100)), { min: 1, max: 6 });
  assert.deepEqual(dimBounds(maximumDim(T, addDims(R, 10))), { min: 10, max: 512 });
  assert.deepEqual(dimBounds(subtractDims(R, T)), { min: -512, max: 63 });
  assert.deepEqual(dimBounds(5), { min: 5, max: 5 });
});

test('an order is claimed only where it is proved', () => {
  assert.ok(isAtLeast(multiplyDims(2, T), T));
  assert.ok(isAtLeast(T, 1));
  assert.ok(!isAtLeast(T, 2));
  assert.ok(!isAtLeast(T, R));
  assert.ok(!isAtLeast(R, T));
  assert.ok(isAtLeast(multiplyDims(64, T), R));
  assert.ok(isAtLeast(maximumDim(T, R), T));
  assert.ok(isAtLeast(maximumDim(T, R), R));
  assert.ok(!isAtLeast(T, maximumDim(T, R)));
  assert.ok(isAtLeast(addDims(T, R), maximumDim(T, R)));
  assert.ok(!isAtLeast(multiplyDims(2, maximumDim(T, R)), addDims(T, R, 1)));
  const falling = multiplyDims(maximumDim(T, R), ceilingDivideDim(multiplyDims(-1, T), 100));
  assert.ok(!isAtLeast(addDims(falling, 320), 0));
});

test('a symbol without a value is an internal error', () => {
  assert.throws(() => evaluateDim(R, [4]), NearfieldError);
});

/** A random expression twice: as a size, and as plain arithmetic. */
interface Pair {
  readonly dim: Dim;
  evaluate(values: readonly number[]): number;
}

function randomPair(draw: (limit: number) => number, depth: number): Pair {
  if (depth === 0) {
    const kind = draw(3);
    const constant = draw(12) - 4;
    if (kind === 2) return { dim: constant, evaluate: () => constant };
    return { dim: kind === 0 ? T : R, evaluate: (values) => values[kind] ?? Number.NaN };
  }
  const [left, right] = [randomPair(draw, depth - 1), randomPair(draw, draw(depth))];
  const swapped = draw(2) === 0;
  const [a, b] = swapped ? [right, left] : [left, right];
  const divisor = 1 + draw(9);
  const makers: readonly (() => Pair)[] = [
    () => ({ dim: addDims(a.dim, b.dim), evaluate: (v) => left.evaluate(v) + right.evaluate(v) }),
    () => ({ dim: multiplyDims(a.dim, b.dim), evaluate: (v) => left.evaluate(v) * right.evaluate(v) }),
    () => ({ dim: subtractDims(left.dim, right.dim), evaluate: (v) => left.evaluate(v) - right.evaluate(v) }),
    () => ({ dim: maximumDim(a.dim, b.dim), evaluate: (v) => Math.max(left.evaluate(v), right.evaluate(v)) }),
    () => ({
      dim: ceilingDivideDim(left.dim, divisor),
      evaluate: (v) => Math.ceil(left.evaluate(v) / divisor),
    }),
    () => ({
      dim: alignDim(left.dim, divisor),
      evaluate: (v) => Math.ceil(left.evaluate(v) / divisor) * divisor,
    }),
  ];
  return makers[draw(makers.length)]?.() ?? left;
}

test('random expressions keep their values, their bounds and their order', () => {
  let position = 0;
  const draw = (limit: number) => Math.floor(uniformAt(7, position++) * limit);
  const samples = [
    [1, 0],
    [512, 64],
    [1, 64],
    [512, 0],
    ...Array.from({ length: 12 }, () => [1 + draw(512), draw(65)]),
  ];
  let [ordered, symbolic] = [0, 0];
  for (let trial = 0; trial < 1500; trial++) {
    const [left, right] = [randomPair(draw, 1 + draw(3)), randomPair(draw, 1 + draw(3))];
    const claimed = isAtLeast(left.dim, right.dim);
    const { min, max } = dimBounds(left.dim);
    if (claimed) ordered++;
    if (typeof left.dim !== 'number') symbolic++;
    assert.ok(dimsEqual(left.dim, addDims(left.dim, subtractDims(right.dim, right.dim))));
    for (const values of samples) {
      const [a, b] = [left.evaluate(values), right.evaluate(values)];
      const text = `${left.dim} at ${values}`;
      assert.equal(evaluateDim(left.dim, values) + 0, a + 0, text);
      assert.ok(a >= min && a <= max, `${text} is ${a}, outside ${min}…${max}`);
      if (claimed) assert.ok(a >= b, `${text} is ${a}, below ${right.dim}, ${b}`);
    }
  }
  assert.ok(ordered > 50 && symbolic > 500, `${ordered} ordered pairs, ${symbolic} symbolic`);
});
