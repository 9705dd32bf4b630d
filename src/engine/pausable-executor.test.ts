/** Steps that wait, end or start again as their session is paused, on an executor whose steps last as long as a test says. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { NearfieldError } from '../base/error.ts';
import type { RunOptions, Step, StepResult } from '../executor.ts';
import { PausableExecutor } from './pausable-executor.ts';

const step = { rows: [], select: { kind: 'nothing' } } as const satisfies Step;
const result: StepResult = { cacheRows: [], argmax: [], logits: new Float32Array() };

/** A started step ends when `finish` is called, or as an aborted one does. */
function openSlow() {
  const finishes: (() => void)[] = [];
  const counts = { started: 0, cancelled: 0 };
  const slow = {
    vocabularySize: 8,
    maxSelected: 4,
    maxRows: 16,
    run: (_: Step, { signal }: RunOptions = {}) =>
      new Promise<StepResult>((resolve, reject) => {
        const abort = (): void => {
          counts.cancelled++;
          reject(new NearfieldError('aborted', 'Aborted by the caller'));
        };
        if (signal?.aborted) return abort();
        counts.started++;
        signal?.addEventListener('abort', abort, { once: true });
        finishes.push(() => resolve(result));
      }),
    move: async () => {},
    close: () => {},
  };
  return { executor: new PausableExecutor(slow), finish: () => finishes.pop()?.(), counts };
}

const isSettled = async (promise: Promise<unknown>): Promise<boolean> => {
  const open = Symbol('open');
  return (await Promise.race([promise.catch(() => {}), sleep(5, open)])) !== open;
};

test('a short step ends, and the next waits for resume', async () => {
  const { executor, finish, counts } = openSlow();
  const running = executor.run(step);
  const quiet = executor.pause();
  assert.equal(await isSettled(quiet), false);
  finish();
  assert.equal(await running, result);
  await quiet;
  const next = executor.run(step);
  assert.equal(await isSettled(next), false);
  assert.deepEqual(counts, { started: 1, cancelled: 0 });
  executor.resume();
  await sleep(1);
  finish();
  assert.equal(await next, result);
  assert.deepEqual(counts, { started: 2, cancelled: 0 });
});

test('a long step is cancelled and starts again at resume', async () => {
  const { executor, finish, counts } = openSlow();
  const running = executor.run(step);
  await executor.pause();
  assert.deepEqual(counts, { started: 1, cancelled: 1 });
  assert.equal(await isSettled(running), false);
  executor.resume();
  await sleep(1);
  assert.deepEqual(counts, { started: 2, cancelled: 1 });
  finish();
  assert.equal(await running, result);
});

test('pausing twice, and resuming before the step has ended, are harmless', async () => {
  const { executor, finish, counts } = openSlow();
  executor.resume();
  const running = executor.run(step);
  const pauses = [executor.pause(), executor.pause()];
  executor.resume();
  await Promise.all(pauses);
  await sleep(80);
  assert.deepEqual(counts, { started: 1, cancelled: 0 });
  finish();
  await running;
});

test('an abort ends a step that waits, and one that pausing cancelled', async () => {
  const { executor, counts } = openSlow();
  const controller = new AbortController();
  const running = executor.run(step, { signal: controller.signal });
  await executor.pause();
  controller.abort();
  await assert.rejects(running, { code: 'aborted' });
  await assert.rejects(executor.run(step, { signal: controller.signal }), { code: 'aborted' });
  assert.equal(counts.started, 1);
});
