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

test('work that is asked for ahead counts as it takes, and a gap begins when it is done', async () => {
  let nowMs = 100;
  const slept: number[] = [];
  const pace = new Pace(
    { workMs: 10, gapMs: 3 },
    async () => void slept.push(nowMs),
    () => nowMs,
  );
  const begin = (): (() => Promise<void>) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    pace.follow(promise);
    return async () => {
      resolve();
      await promise;
    };
  };
  const first = begin();
  assert.equal(pace.gap(), undefined);
  nowMs = 104;
  await first();
  // Two of four milliseconds fit behind it, as it seems.
  const second = begin();
  assert.equal(pace.isDue, false);
  const third = begin();
  assert.equal(pace.isDue, true);
  const gap = pace.gap();
  nowMs = 108;
  await second();
  assert.deepEqual(slept, []);
  nowMs = 112;
  await third();
  await gap;
  assert.deepEqual(slept, [112]);
  assert.equal(pace.isDue, false);
});

test('there is no gap where work was done sooner than it seemed', async () => {
  let nowMs = 0;
  const pace = new Pace(
    { workMs: 10, gapMs: 3 },
    async () => assert.fail(),
    () => nowMs,
  );
  for (const endMs of [6, 7]) {
    const done = Promise.resolve();
    pace.follow(done);
    const gap = pace.gap();
    nowMs = endMs;
    await done;
    await gap;
  }
});
