/** Tapes of additions on real threads: each entry must have run exactly once, wherever the tape ran. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { NearfieldError } from '../../base/error.ts';
import type { WorkerScript } from '../../base/worker-script.ts';
import { workerScript } from '../../base/worker-script.ts';
import { Ticket } from '../ticket.ts';
import { computeScript, loadKernels } from './assets.ts';
import {
  controlWords,
  instantiateKernels,
  type KernelExports,
  scratchBytesPerThread,
  scratchOffset,
} from './control.ts';
import { LinearMemory } from './memory.ts';
import { SingleThread } from './single-thread.ts';
import { StartedThreads } from './started-threads.ts';
import { operationNumbers, TapeTemplate } from './tape.ts';
import { newTape, type Tape, type TapeRunner, untimed } from './tape-runner.ts';
import { ThreadPool, type ThreadPoolOptions } from './threads.ts';

const skip = existsSync(new URL('../../../dist/kernels-plain-shared.wasm', import.meta.url))
  ? false
  : 'no kernels in dist/: npm run build';

/** Units of a kernel of additions are of 8,192 values. */
const values = 5 * 8192;

interface Machine {
  readonly runner: TapeRunner;
  /** Adds 1 to every value `entries` times. */
  counting(entries: number): Tape;
  /** The value that all values have. */
  count(): number;
  clear(): void;
}

type PoolOptions = Pick<ThreadPoolOptions, 'shortUs' | 'patienceUs' | 'choice'> & {
  readonly script?: WorkerScript;
};

async function openMachine(threads: number, options: PoolOptions | 'single' = {}): Promise<Machine> {
  const shared = options !== 'single';
  const module = await loadKernels(shared, undefined);
  const memory = new LinearMemory(scratchOffset + threads * scratchBytesPerThread, shared);
  const kernels = instantiateKernels(module, memory.memory);
  const control = new Int32Array(memory.memory.buffer);
  control[controlWords.threads] = threads;
  control[controlWords.scratchBase] = scratchOffset;
  control[controlWords.scratchBytes] = scratchBytesPerThread;
  const [sums, ones] = [memory.allocate(values * 4, 'test'), memory.allocate(values * 4, 'test')];
  const [tapeBytes, tapes] = [6 * 4 * 12_001, [] as number[]];
  for (let index = 0; index < 8; index++) tapes.push(memory.allocate(tapeBytes, 'test'));
  const floats = new Float32Array(memory.memory.buffer);
  floats.fill(1, ones / 4, ones / 4 + values);
  floats.fill(0, sums / 4, sums / 4 + values);
  const runner = shared
    ? await openPool(module, memory.memory, kernels, threads, options)
    : new SingleThread(kernels);
  return {
    runner,
    counting(entries) {
      const template = new TapeTemplate();
      for (let entry = 0; entry < entries; entry++) {
        template.begin(operationNumbers.add).word(values).word(sums).word(ones).word(sums);
      }
      const address = tapes.shift() ?? 0;
      const words = new Int32Array(memory.memory.buffer, address, tapeBytes / 4);
      template.instantiate(words, [], { arena: 0, step: 0, weights: [] });
      return newTape(address);
    },
    count() {
      const [first, ...others] = new Set(floats.subarray(sums / 4, sums / 4 + values));
      assert.deepEqual(others, []);
      return first ?? Number.NaN;
    },
    clear: () => void floats.fill(0, sums / 4, sums / 4 + values),
  };
}

async function openPool(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  kernels: KernelExports,
  threads: number,
  { script = computeScript(undefined), ...options }: PoolOptions,
): Promise<ThreadPool> {
  const workers = await new StartedThreads(script, threads).join({ module, memory });
  return new ThreadPool({ memory, kernels, workers, ...options });
}

async function run(runner: TapeRunner, ...tapes: Tape[]): Promise<void> {
  const ticket = new Ticket();
  for (const tape of tapes) runner.submit(tape, ticket);
  await ticket.settled();
}

const failsWith = (code: string) => (error: unknown) =>
  error instanceof NearfieldError && error.code === code;

describe('tapes', { skip }, () => {
  for (const threads of [1, 2, 3]) {
    test(`${threads}: the second run of a short tape is over when submit returns`, async () => {
      const { runner, counting, count } = await openMachine(threads);
      const tape = counting(10);
      await run(runner, tape);
      assert.ok(tape.microseconds < untimed);
      tape.microseconds = 10;
      const ticket = new Ticket();
      for (let again = 2; again < 9; again++) {
        runner.submit(tape, ticket);
        assert.equal(count(), again * 10);
      }
      await ticket.settled();
      await runner.close();
    });

    test(`${threads}: short and long tapes of several tickets run in order, each entry once`, async () => {
      const { runner, counting, count } = await openMachine(threads);
      const [short, long, other] = [counting(3), counting(200), counting(50)];
      let expected = 0;
      for (let round = 0; round < 60; round++) {
        long.microseconds = untimed;
        if (round % 3 === 0) short.microseconds = untimed;
        const order: number[] = [];
        const tickets = [new Ticket(), new Ticket(), new Ticket()];
        for (const [index, ticket] of tickets.entries()) {
          for (const tape of [short, index === 1 ? long : short, other]) runner.submit(tape, ticket);
          expected += index === 1 ? 253 : 56;
        }
        await Promise.all(
          tickets.map(async (ticket, index) => {
            await ticket.settled();
            order.push(index);
          }),
        );
        assert.equal(count(), expected);
        assert.deepEqual(order, [0, 1, 2]);
      }
      assert.deepEqual([short.underWay, long.underWay, other.underWay], [0, 0, 0]);
      await runner.close();
    });

    test(`${threads}: a tape that the caller leaves is finished by the worker, each entry once`, async () => {
      const { runner, counting, count } = await openMachine(threads, { patienceUs: 0 });
      const tapes = [counting(40), counting(1), counting(300)];
      let expected = 0;
      let left = 0;
      for (let round = 0; round < 60; round++) {
        const ticket = new Ticket();
        for (const tape of tapes) {
          // Timed, so that it may be left at a look at the clock, too.
          tape.microseconds = 5000;
          runner.submit(tape, ticket);
        }
        const waiting = ticket.settled();
        if (waiting) left++;
        await waiting;
        expected += 341;
        assert.equal(count(), expected);
      }
      assert.ok(threads === 1 || left > 0);
      await runner.close();
    });

    test(`${threads}: a cancel stops what is under way and nothing else`, async () => {
      const { runner, counting, count, clear } = await openMachine(threads);
      const [long, short] = [counting(2000), counting(2)];
      for (let round = 0; round < 20; round++) {
        clear();
        const [cancelled, kept] = [new Ticket(), new Ticket()];
        long.microseconds = untimed;
        for (let tape = 0; tape < 5; tape++) runner.submit(long, cancelled);
        runner.submit(short, kept);
        runner.submit(long, cancelled);
        if (round % 2 === 0) await delay(round / 10);
        cancelled.cancel();
        await assert.rejects(async () => cancelled.settled(), failsWith('aborted'));
        await kept.settled();
        clear();
        await run(runner, short);
        assert.equal(count(), 2);
      }
      await runner.close();
    });
  }

  test('threads that a tape leaves out, and that come back, run each entry of theirs once', async () => {
    let state = 1;
    const random = (below: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    let next = 3;
    const learnt = new Set<number>();
    const choice = {
      get count() {
        return next;
      },
      threadsFor: () => next,
      took: () => void learnt.add(next),
    };
    const { runner, counting, count } = await openMachine(3, { choice, patienceUs: 1000 });
    const tapes = [counting(1), counting(20), counting(150)];
    let expected = 0;
    for (let round = 0; round < 150; round++) {
      const tickets = [new Ticket(), new Ticket()];
      for (const ticket of tickets) {
        for (const [index, tape] of tapes.entries()) {
          next = 1 + random(3);
          tape.rows = [1, 8, 100][random(3)] ?? 1;
          // On the caller's thread, or given to the worker with others behind it.
          tape.microseconds = random(4) === 0 ? untimed : 100;
          runner.submit(tape, ticket);
          expected += [1, 20, 150][index] ?? 0;
        }
      }
      for (const ticket of tickets) await ticket.settled();
      assert.equal(count(), expected);
      // Long enough to sleep, now and then.
      if (round % 20 === 0) await delay(1);
    }
    assert.deepEqual([...learnt].sort(), [1, 2, 3]);
    await runner.close();
  });

  test('without shared memory: short tapes at once, long ones in slices, cancels between them', async () => {
    const { runner, counting, count, clear } = await openMachine(1, 'single');
    const [long, short] = [counting(12_000), counting(5)];
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    await run(runner, long, short, long);
    clearInterval(timer);
    assert.equal(count(), 24_005);
    assert.ok(turns > 0);
    clear();
    short.microseconds = untimed;
    const [first, second] = [new Ticket(), new Ticket()];
    long.microseconds = untimed;
    for (let tape = 0; tape < 3; tape++) runner.submit(long, first);
    runner.submit(short, second);
    setTimeout(() => first.cancel(), 1);
    await assert.rejects(async () => first.settled(), failsWith('aborted'));
    clear();
    await second.settled();
    assert.equal(count(), 5);
    await runner.close();
    await assert.rejects(() => run(runner, short), failsWith('backend'));
  });

  test('timers run while the caller computes short tapes only', async () => {
    const { runner, counting } = await openMachine(2);
    const tape = counting(30);
    let fired = 0;
    const timer = setInterval(() => fired++, 1);
    const ticket = new Ticket();
    for (const end = performance.now() + 200; performance.now() < end; ) {
      tape.microseconds = Math.min(tape.microseconds, 5000);
      runner.submit(tape, ticket);
      await ticket.settled();
    }
    clearInterval(timer);
    assert.ok(fired > 0);
    await runner.close();
  });

  test('a thread that never comes to a barrier leaves the caller free, and its end is an error', async () => {
    const quiet = `
      import { parentPort } from 'node:worker_threads';
      parentPort.postMessage('here');
      parentPort.once('message', ({ thread, memory }) => {
        parentPort.postMessage('ready');
        const control = new Int32Array(memory.buffer);
        const end = () => Atomics.load(control, ${controlWords.submitted}) > 0 && setTimeout(() => process.exit(7), 100);
        setInterval(thread === 1 ? end : () => {}, 1);
      });`;
    const script = workerScript(
      'compute-worker',
      import.meta.url,
      `data:text/javascript,${encodeURIComponent(quiet)}`,
      () => {
        throw new Error('not in Node');
      },
    );
    const { runner, counting } = await openMachine(2, { script, patienceUs: 1000 });
    const tape = counting(3);
    tape.microseconds = 10;
    const ticket = new Ticket();
    runner.submit(tape, ticket);
    let fired = 0;
    const timer = setInterval(() => fired++, 5);
    try {
      await assert.rejects(async () => ticket.settled(), { code: 'backend', message: /ended with 7/ });
    } finally {
      clearInterval(timer);
    }
    assert.ok(fired > 0);
    await assert.rejects(() => run(runner, tape), failsWith('backend'));
    await runner.close();
  });
});
