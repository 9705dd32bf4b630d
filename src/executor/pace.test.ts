import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pace } from './pace.ts';

test('a gap comes before the work that follows enough of it, over however many programs', async () => {
  const slept: number[] = [];
  const pace = new Pace({ workMs: 10, gapMs: 3 }, async (ms) => void slept.push(ms));
  const begin = (): boolean => pace.gap() === undefined;
  assert.equal(begin(), true);
  pace.worked(9);
  assert.equal(begin(), true);
  pace.worked(1);
  assert.equal(begin(), false);
  assert.deepEqual(slept, [3]);
  assert.equal(begin(), true);
  pace.worked(500);
  assert.equal(begin(), false);
  assert.equal(begin(), true);
  assert.deepEqual(slept, [3, 3]);
});
