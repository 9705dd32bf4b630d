/** Work for a device keeps its order, programs of one turn go together, and a failure stops nothing else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WorkQueue } from './work-queue.ts';

test('what finds the queue empty runs at once; programs of a turn are handed over together', async () => {
  const seen: string[] = [];
  let release = (): void => {};
  const queue = new WorkQueue<string>(
    (items) => {
      seen.push(items.join('+'));
      return new Promise((resolve) => {
        release = resolve;
      });
    },
    () => {},
  );
  queue.run(() => seen.push('write'));
  queue.add('a');
  queue.add('b');
  queue.run(() => seen.push('later write'));
  queue.add('c');
  assert.deepEqual(seen, ['write']);
  assert.equal(queue.isEmpty, false);
  await new Promise(setImmediate);
  // The write waits until a and b are with the device.
  assert.deepEqual(seen, ['write', 'a+b']);
  release();
  await new Promise(setImmediate);
  assert.deepEqual(seen, ['write', 'a+b', 'later write', 'c']);
  release();
  await new Promise(setImmediate);
  assert.equal(queue.isEmpty, true);
});

test('items are taken out before they are handed over; what throws is told and skipped', async () => {
  const handed: number[][] = [];
  const failures: unknown[] = [];
  const queue = new WorkQueue<number>(
    (items) => {
      handed.push(items);
      return undefined;
    },
    (failure) => failures.push(failure),
  );
  for (const item of [1, 2, 3]) queue.add(item);
  queue.run(() => {
    throw new Error('no');
  });
  queue.add(4);
  assert.deepEqual(
    queue.remove((item) => item === 2),
    [2],
  );
  await new Promise(setImmediate);
  assert.deepEqual(handed, [[1, 3], [4]]);
  assert.equal(String(failures[0]), 'Error: no');
});
