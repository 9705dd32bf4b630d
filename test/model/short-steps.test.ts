/** Steps so short that they run on the caller's own thread, among long ones that do not. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Backend, openBackend } from '../../src/backend.ts';
import { NearfieldError } from '../../src/base/error.ts';
import { chainOf, feed, openTinyEngine } from '../fixture/open-executor.ts';

const skip = await openBackend('wasm', { threads: 1 }).then(
  (backend) => backend.close().then(() => false),
  (error: unknown) => error instanceof NearfieldError && `wasm does not open here: ${error.message}`,
);

const tokensOf = (seed: number, count: number): number[] =>
  Array.from({ length: count }, (_, index) => (seed * 7919 + index * index * 31 + index * 17) % 288);

/** A thread that may not sleep, as a page's own, leaves all computing to the workers. */
async function openWithoutBlocking(): Promise<Backend> {
  const { wait } = Atomics;
  Atomics.wait = () => {
    throw new TypeError('Atomics.wait cannot be called in this context');
  };
  try {
    return await openBackend('wasm', { threads: 2 });
  } finally {
    Atomics.wait = wait;
  }
}

/** Logits of every token of several sequences that take turns, some by long chains, some token by token. */
async function mixedLogits(backend: Backend): Promise<number[][]> {
  const { executor, cache, close } = await openTinyEngine('wasm', { backend });
  const sequences = Array.from({ length: 6 }, () => cache.openSequence());
  const collected: number[][] = [];
  for (let round = 0; round < 12; round++) {
    const together = sequences.map((sequence, index) => {
      const count = (round + index) % 4 === 0 ? 35 : 1;
      return feed(executor, sequence, tokensOf(round * 6 + index, count));
    });
    collected.push(...(await Promise.all(together)));
  }
  await close();
  await backend.close();
  return collected;
}

test('the caller and the workers compute the same bits, in any number of threads', { skip }, async () => {
  const expected = await mixedLogits(await openWithoutBlocking());
  for (const threads of [1, 2, 3]) {
    const logits = await mixedLogits(await openBackend('wasm', { threads }));
    assert.deepEqual(logits, expected, `${threads} threads`);
  }
});

for (const threads of [1, 2]) {
  test(`timers run, and an abort is heard, while steps are short: ${threads}`, { skip }, async () => {
    const backend = await openBackend('wasm', { threads });
    const { executor, cache, close } = await openTinyEngine('wasm', { backend });
    const sequence = cache.openSequence();
    const controller = new AbortController();
    let [fired, steps] = [0, 0];
    const timer = setInterval(() => {
      fired++;
      if (fired === 5) controller.abort();
    }, 3);
    const endless = async (): Promise<void> => {
      for (;;) {
        if (sequence.committed > 400) sequence.forget(0);
        const rows = chainOf(sequence, [steps++ % 288]);
        const step = { rows, select: { kind: 'argmax', rows: [0] } } as const;
        const { cacheRows } = await executor.run(step, { signal: controller.signal });
        await executor.move(sequence.commit(cacheRows));
      }
    };
    await assert.rejects(endless(), { code: 'aborted' });
    clearInterval(timer);
    assert.ok(steps > 5 && fired >= 5);
    assert.equal(sequence.pending, 0);
    // Nothing of it is left: the next step is like the first of a new sequence.
    sequence.forget(0);
    const again = await feed(executor, sequence, tokensOf(3, 9));
    assert.deepEqual(again, await feed(executor, cache.openSequence(), tokensOf(3, 9)));
    await close();
    await backend.close();
  });
}

test('a process ends by itself after short steps, whether the backend was closed or not', {
  skip,
}, async () => {
  const script = fileURLToPath(new URL('../fixture/leave-after-steps.ts', import.meta.url));
  for (const how of ['closed', 'open']) {
    const { stdout } = await promisify(execFile)(process.execPath, [script, how], { timeout: 30_000 });
    assert.equal(stdout, 'left\n');
  }
});
