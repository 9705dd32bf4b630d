import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ThreadTuner } from './thread-tuner.ts';

/** Runs a tape so often on a machine that takes so long with so many threads; the threads of each run. */
function run(
  tuner: ThreadTuner<object>,
  tape: object,
  count: number,
  usWith: (threads: number, run: number) => number,
): number[] {
  return Array.from({ length: count }, (_, index) => {
    const threads = tuner.threadsFor(tape);
    tuner.took(tape, usWith(threads, index));
    return threads;
  });
}

const shareOf = (threads: readonly number[], wanted: number): number =>
  threads.filter((count) => count === wanted).length / threads.length;

/** Every thread helps. */
const ideal = (threads: number) => 8000 / threads;

test('where every thread helps, all compute, and few runs are spent on trials', () => {
  for (const most of [2, 3, 8]) {
    const tuner = new ThreadTuner(most);
    const tape = {};
    const threads = run(tuner, tape, 2000, ideal);
    assert.equal(tuner.count, most);
    assert.ok(shareOf(threads, most) > 0.99, `${most}`);
    assert.ok(shareOf(threads.slice(0, 40), most) >= 0.95);
  }
});

test('one thread has no choice', () => {
  const tuner = new ThreadTuner(1);
  assert.equal(shareOf(run(tuner, {}, 500, ideal), 1), 1);
});

test('the fastest number is found from above, also one far below', () => {
  const best = (wanted: number) => (threads: number) => 1000 + 500 * Math.abs(Math.log2(threads / wanted));
  for (const [most, wanted, found] of [
    [16, 8, 8],
    [16, 1, 1],
    [12, 3, 3],
    [2, 1, 1],
  ] as const) {
    const tuner = new ThreadTuner(most);
    const threads = run(tuner, {}, 400, best(wanted));
    assert.equal(tuner.count, found);
    assert.ok(shareOf(threads.slice(120), found) > 0.95, `${most} to ${wanted}`);
  }
});

test('a neighbour that comes and goes is answered', () => {
  const tuner = new ThreadTuner(2);
  const tape = {};
  const beside = (threads: number) => (threads === 2 ? 12_000 : 8000);
  run(tuner, tape, 1500, ideal);
  const during = run(tuner, tape, 300, beside);
  assert.equal(tuner.count, 1);
  assert.ok(shareOf(during.slice(60), 1) > 0.9);
  run(tuner, tape, 700, ideal);
  assert.equal(tuner.count, 2);
});

test('times that scatter alike do not move it', () => {
  let state = 1;
  const noise = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return 1 + state / 2 ** 32 / 5;
  };
  const tuner = new ThreadTuner(4);
  run(tuner, {}, 3000, (threads) => ideal(threads) * noise());
  assert.equal(tuner.count, 4);
});

test('a slow first run, and a slow one now and then, do not move it', () => {
  const tuner = new ThreadTuner(2);
  const us = (threads: number, index: number) => (index % 97 === 0 ? 10 * ideal(threads) : ideal(threads));
  assert.ok(shareOf(run(tuner, {}, 1000, us), 2) > 0.97);
});

test('of processors that are taken away now and then the mean time counts', () => {
  const tuner = new ThreadTuner(2);
  // Two threads use up their share in three runs and wait; one has enough.
  const us = (threads: number, index: number) => (threads === 1 ? 6000 : index % 3 === 0 ? 14_000 : 4000);
  const threads = run(tuner, {}, 400, us);
  assert.ok(shareOf(threads.slice(100), 1) > 0.7, `${shareOf(threads.slice(100), 1)}`);
});

test('the longest of the tapes in turn is watched, and another one once it is gone', () => {
  const tuner = new ThreadTuner(2);
  const [body, head, later] = [{}, {}, {}];
  for (let token = 0; token < 40; token++) {
    run(tuner, body, 1, (threads) => 1000 * threads);
    // Alone it would choose the other way.
    run(tuner, head, 1, (threads) => 300 / threads);
  }
  assert.equal(tuner.count, 1);
  run(tuner, later, 200, (threads) => 500 / threads);
  assert.equal(tuner.count, 2);
});
