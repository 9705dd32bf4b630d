import assert from 'node:assert/strict';
import { test } from 'node:test';
import { matchEntries } from './match-entries.ts';

const entries = (operations: readonly number[]) =>
  operations.map((operation, index) => ({ operation, milliseconds: 2 ** index }));

test('as many entries as kernels are taken in order', () => {
  const { kernelMs, otherMs } = matchEntries(entries([1, 4, 4]), ['embed', 'matmul', 'projections']);
  assert.deepEqual(kernelMs, [1, 2, 4]);
  assert.equal(otherMs, 0);
});

test('entries of an operation that is no kernel are told apart, wherever they stand', () => {
  const patterns = ['embed', 'rms-norm', 'rope', 'rms-norm', 'rope'];
  const { kernelMs, otherMs } = matchEntries(entries([1, 2, 5, 6, 2, 6]), patterns);
  assert.deepEqual(kernelMs, [1, 2, 8, 16, 32]);
  assert.equal(otherMs, 4);
});

test('entries that fit no reading are refused', () => {
  assert.throws(() => matchEntries(entries([1, 2, 3]), ['embed', 'embed', 'embed']), /do not fit/);
  assert.throws(() => matchEntries(entries([1]), ['embed', 'rope']), /do not fit/);
});
