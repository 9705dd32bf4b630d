/** Steps over the real cache, plan and backends: chunks, trees, several sessions, shared beginnings, failures. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { openModel } from '../../src/architecture.ts';
import { type Backend, type BackendName, backendNames, openBackend } from '../../src/backend.ts';
import { known, NearfieldError } from '../../src/base/error.ts';
import type { Select, StepRow, TraceEvent } from '../../src/executor.ts';
import type { Sequence } from '../../src/kv-cache.ts';
import { makePlan } from '../../src/plan.ts';
import { openBudget } from '../../src/weights.ts';
import {
  chainOf,
  feed,
  openTinyEngine,
  type TinyEngine,
  type TinyEngineOptions,
} from '../fixture/open-executor.ts';
import { findSoftwareGpu } from '../fixture/software-gpu.ts';
import { openTinyModel, tinyShapeNames } from '../fixture/tiny-model.ts';

const vocabulary = 288;
const tokensOf = (seed: number, count: number): number[] =>
  Array.from({ length: count }, (_, index) => (seed * 7919 + index * index * 31 + index * 17) % vocabulary);
const range = (first: number, count: number): number[] => Array.from({ length: count }, (_, i) => first + i);
const prompt = tokensOf(1, 150);

await findSoftwareGpu();

/** Backends whose kernels for one row and for many round differently. */
const roundsByRows: ReadonlySet<BackendName> = new Set(['webgpu']);

function assertNear(actual: readonly number[], expected: readonly number[], what?: string): void {
  assert.equal(actual.length, expected.length, what);
  const far = actual.findIndex((value, index) => !(Math.abs(value - (expected[index] ?? 0)) < 1e-4));
  assert.equal(far, -1, `${what ?? 'logits'}: value ${far} is ${actual[far]}, not ${expected[far]}`);
}

/** Backends, or why they do not open here. */
const machines = await Promise.all(
  backendNames.map((name) => openBackend(name, { threads: 2 }).catch((error: unknown) => String(error))),
);

for (const [index, name] of backendNames.entries()) {
  const opened = known(machines[index], 'machine');
  const skip = typeof opened === 'string' && `${name} does not open here: ${opened}`;
  const open = (options: TinyEngineOptions = {}): Promise<TinyEngine> =>
    openTinyEngine(name, typeof opened === 'string' ? options : { backend: opened, ...options });
  const assertSame: typeof assertNear = roundsByRows.has(name) ? assertNear : assert.deepEqual;
  after(async () => typeof opened !== 'string' && opened.close());

  test(`${name}: whole, chunked and token-by-token prompts agree`, { skip }, async () => {
    const engine = await open();
    const whole = await feed(engine.executor, engine.cache.openSequence(), prompt);
    assert.equal(whole.length, vocabulary);
    assert.ok(new Set(whole).size > vocabulary / 2);
    const chunked = engine.open({ maxRows: 7, maxSelected: 1 });
    const progress: number[] = [];
    const sequence = engine.cache.openSequence();
    const { logits } = await chunked.run(
      { rows: chainOf(sequence, prompt), select: { kind: 'logits', rows: [149] } },
      { onProgress: (rows) => progress.push(rows) },
    );
    assertSame([...logits], whole);
    assert.deepEqual(progress, [...range(1, 21).map((chunk) => chunk * 7), 150]);
    const single = engine.cache.openSequence();
    let last: number[] = [];
    for (const token of prompt) last = await feed(engine.executor, single, [token]);
    assertSame(last, whole);
    await chunked.close();
    await engine.close();
  });

  test(`${name}: more rows are selected than one pass of the head takes`, { skip }, async () => {
    const engine = await open();
    const { executor, cache } = engine;
    const expected: number[][] = [];
    const single = cache.openSequence();
    for (const token of prompt.slice(0, 60)) expected.push(await feed(executor, single, [token]));
    const rows = [...range(3, 40), 50, 59];
    const argmaxOf = (logits: readonly number[]) => logits.indexOf(Math.max(...logits));
    const narrow = engine.open({ maxRows: 25, maxSelected: 3 });
    for (const tried of [executor, narrow]) {
      const sequence = cache.openSequence();
      const chain = chainOf(sequence, prompt.slice(0, 60));
      const streamed = new Map<number, number[]>();
      const result = await tried.run(
        { rows: chain, select: { kind: 'logits', rows } },
        {
          onLogits: async (present, logits) => {
            assert.ok(present.length <= tried.maxSelected);
            assert.equal(logits.length, present.length * vocabulary);
            await new Promise((resolve) => setImmediate(resolve));
            present.forEach((row, place) => {
              streamed.set(row, [...logits.subarray(place * vocabulary, (place + 1) * vocabulary)]);
            });
          },
        },
      );
      assert.equal(result.logits.length, 0);
      assert.deepEqual([...streamed.keys()], rows);
      for (const [row, logits] of streamed) assertSame(logits, known(expected[row], 'row'));
      sequence.forget(0);
      const again = await tried.run({
        rows: chainOf(sequence, prompt.slice(0, 60)),
        select: { kind: 'argmax', rows },
      });
      assert.deepEqual(
        again.argmax,
        rows.map((row) => argmaxOf(known(expected[row], 'row'))),
      );
      const few = tried.run({ rows: chainOf(sequence, prompt), select: { kind: 'logits', rows } });
      await assert.rejects(few, { code: 'bad-argument', message: /42 rows.*onLogits/ });
    }
    await narrow.close();
    await engine.close();
  });

  test(`${name}: a tree equals its paths, and goes on behind the one that is committed`, {
    skip,
  }, async () => {
    const engine = await open();
    const { executor, cache } = engine;
    const begin = prompt.slice(0, 125);
    const parents = [-1, 0, 0, 1, 2, -1, 3, 3, 6, 5];
    const nodes = tokensOf(5, parents.length);
    const pathTo = (node: number): number[] =>
      node < 0 ? [] : [...pathTo(known(parents[node], 'parent')), node];
    const treeRows = (sequence: Sequence, from: number, until: number): StepRow[] =>
      range(from, until - from).map((node) => {
        const parent = known(parents[node], 'parent');
        const inStep = parent >= from;
        return {
          sequence,
          token: known(nodes[node], 'node'),
          position: 124 + pathTo(node).length,
          parent: inStep ? { row: parent - from } : 125 + parent,
        };
      });
    const select = (count: number): Select => ({ kind: 'logits', rows: range(0, count) });
    const tree = cache.openSequence();
    await feed(executor, tree, begin);
    const atOnce = [...(await executor.run({ rows: treeRows(tree, 0, 10), select: select(10) })).logits];
    for (const node of range(0, 10)) {
      const path = cache.openSequence();
      await feed(executor, path, begin);
      const tokens = pathTo(node).map((step) => known(nodes[step], 'node'));
      const expected = await feed(executor, path, tokens);
      assertSame(atOnce.slice(node * vocabulary, (node + 1) * vocabulary), expected, `node ${node}`);
      path.close();
    }
    const grown = cache.openSequence();
    await feed(executor, grown, begin);
    const pieces: number[] = [];
    for (const [from, until] of [
      [0, 1],
      [1, 4],
      [4, 10],
    ] as const) {
      const { logits } = await executor.run({
        rows: treeRows(grown, from, until),
        select: select(until - from),
      });
      pieces.push(...logits);
    }
    assertSame(pieces, atOnce);
    const kept = pathTo(8);
    for (const sequence of [tree, grown]) {
      const moves = sequence.commit(kept.map((node) => 125 + node));
      assert.ok(moves.length > 0);
      await executor.move(moves);
    }
    const plain = cache.openSequence();
    await feed(executor, plain, [...begin, ...kept.map((node) => known(nodes[node], 'node'))]);
    const next = await feed(executor, plain, [11, 12, 13]);
    assertSame(await feed(executor, tree, [11, 12, 13]), next);
    assertSame(await feed(executor, grown, [11, 12, 13]), next);
    await engine.close();
  });

  test(`${name}: several sequences in one step, and steps of several sessions at once`, {
    skip,
  }, async () => {
    const engine = await open({ maxSequences: 3 });
    const { executor, cache } = engine;
    const tokens = range(0, 7).map((seed) => tokensOf(seed + 20, 10 + seed));
    const alone: number[][] = [];
    for (const each of tokens) alone.push(await feed(executor, cache.openSequence(), each));
    const sequences = tokens.map(() => cache.openSequence());
    const chains = tokens.map((each, index) => chainOf(known(sequences[index], 'sequence'), each));
    const rows: StepRow[] = [];
    for (let depth = 0; depth < 16; depth++) {
      for (const chain of chains) {
        const row = chain[depth];
        if (row) rows.push({ ...row, parent: depth - 1 });
      }
    }
    const last = chains.map((chain) => {
      const row = chain.at(-1);
      return rows.findIndex((each) => each.sequence === row?.sequence && each.position === row.position);
    });
    assert.deepEqual(
      last,
      [...last].sort((a, b) => a - b),
    );
    const { logits, cacheRows } = await executor.run({ rows, select: { kind: 'logits', rows: last } });
    assertSame([...logits], alone.flat());
    assert.deepEqual(
      cacheRows,
      rows.map(({ position }) => position),
    );
    const order: number[] = [];
    const together = tokens.map(async (each, index) => {
      const sequence = cache.openSequence();
      const chain = chainOf(sequence, each);
      const result = await executor.run({
        rows: chain,
        select: { kind: 'logits', rows: [each.length - 1] },
      });
      order.push(index);
      // A result stays whole while other sessions run.
      await new Promise((resolve) => setTimeout(resolve, 20));
      return [...result.logits];
    });
    assertSame((await Promise.all(together)).flat(), alone.flat());
    assert.deepEqual(order, range(0, 7));
    await engine.close();
  });

  test(`${name}: a shared beginning goes on like one computed anew`, { skip }, async () => {
    for (const contextRows of [128, 512]) await sharesBeginnings(await open({ contextRows }));
  });

  async function sharesBeginnings(engine: TinyEngine): Promise<void> {
    const { executor, cache } = engine;
    const first = cache.openSequence();
    await feed(executor, first, prompt);
    for (const length of [0, 1, 127, 128, 140]) {
      const { sequence, moves } = cache.share(first, length);
      await executor.move(moves);
      const plain = cache.openSequence();
      if (length > 0) await feed(executor, plain, prompt.slice(0, length));
      assertSame(await feed(executor, sequence, [5, 6, 7]), await feed(executor, plain, [5, 6, 7]));
      for (const each of [sequence, plain]) each.close();
    }
    // Cut back into the shared page: it gets a page of its own, the other keeps what it had.
    const { sequence: second, moves: copies } = cache.share(first, 128);
    await executor.move(copies);
    second.forget(100);
    const plain = cache.openSequence();
    await feed(executor, plain, prompt.slice(0, 100));
    assertSame(await feed(executor, second, [9, 8]), await feed(executor, plain, [9, 8]));
    const unshared = cache.openSequence();
    await feed(executor, unshared, prompt);
    assertSame(await feed(executor, first, [3]), await feed(executor, unshared, [3]));
    await engine.close();
  }

  test(`${name}: a saved sequence goes on in another cache`, { skip }, async () => {
    const engine = await open();
    const sequence = engine.cache.openSequence();
    await feed(engine.executor, sequence, prompt);
    const pages: Uint8Array[] = [];
    await engine.cache.save(sequence, async (page) => {
      pages.push(page.slice());
    });
    const expected = await feed(engine.executor, sequence, [1, 2]);
    await engine.close();
    const later = await open();
    const other = later.cache.openSequence();
    await feed(later.executor, other, tokensOf(9, 300));
    const restored = await later.cache.restore(150, async (page) => page.set(known(pages.shift(), 'page')));
    assertSame(await feed(later.executor, restored, [1, 2]), expected);
    await later.close();
  });

  test(`${name}: a plan cut between layers changes nothing`, { skip }, async () => {
    const [one, many] = [await open(), await open({ cut: 'layers' })];
    assert.ok(many.plan.segments.length > one.plan.segments.length);
    const whole = await feed(one.executor, one.cache.openSequence(), prompt);
    assertSame(await feed(many.executor, many.cache.openSequence(), prompt), whole);
    await one.close();
    await many.close();
  });

  test(`${name}: an abort leaves the sequences as they were and the executor usable`, { skip }, async () => {
    const engine = await open();
    const { executor, cache } = engine;
    const sequence = cache.openSequence();
    await feed(executor, sequence, prompt.slice(0, 140));
    await executor.run({ rows: chainOf(sequence, [4]), select: { kind: 'nothing' } });
    const controller = new AbortController();
    const { signal } = controller;
    const other = cache.openSequence();
    const rows = chainOf(sequence, tokensOf(2, 200));
    const running = executor.run(
      { rows, select: { kind: 'logits', rows: [199] } },
      { signal, onProgress: (done) => done >= 64 && controller.abort() },
    );
    const waiting = executor.run(
      { rows: chainOf(other, [1]), select: { kind: 'logits', rows: [0] } },
      { signal },
    );
    const behind = feed(executor, other, [1, 2]);
    await assert.rejects(waiting, { code: 'aborted' });
    await assert.rejects(running, { code: 'aborted' });
    assert.deepEqual([sequence.committed, sequence.pending], [140, 1]);
    assertSame(await behind, await feed(executor, cache.openSequence(), [1, 2]));
    await assert.rejects(executor.run({ rows, select: { kind: 'nothing' } }, { signal }), {
      code: 'aborted',
    });
    sequence.forget(140);
    const plain = cache.openSequence();
    await feed(executor, plain, prompt.slice(0, 140));
    assertSame(await feed(executor, sequence, [7]), await feed(executor, plain, [7]));
    await engine.close();
  });

  test(`${name}: wrong steps are refused before anything changes`, { skip }, async () => {
    const engine = await open({ contextLength: 100 });
    const { executor, cache } = engine;
    const [sequence, other] = [cache.openSequence(), cache.openSequence()];
    await feed(executor, sequence, prompt.slice(0, 90));
    const row = (change: Partial<StepRow>): StepRow => ({
      ...{ sequence, token: 1, position: 90, parent: 89 },
      ...change,
    });
    const refuse = async (rows: StepRow[], code: string, message: RegExp, selected = [0]) => {
      const step = { rows, select: { kind: 'argmax', rows: selected } } as const;
      await assert.rejects(executor.run(step), { code, message });
      assert.deepEqual([sequence.committed, sequence.pending], [90, 0]);
      assert.deepEqual([other.committed, other.pending], [0, 0]);
    };
    await refuse([], 'bad-argument', /at least one row/, []);
    for (const token of [-1, vocabulary, 1.5, Number.NaN]) {
      await refuse([row({ token })], 'bad-argument', /Token id/);
    }
    for (const position of [-1, 0.5, 2 ** 31]) {
      await refuse([row({ position })], 'bad-argument', /Position/);
    }
    for (const parent of [88, 90, -1, 1.5, { row: 0 }, { row: 1 }]) {
      await refuse([row({ parent })], 'bad-argument', /parent|child/);
    }
    await refuse(
      [row({ sequence: other, parent: -1 }), row({ parent: { row: 0 } })],
      'bad-argument',
      /child/,
    );
    await refuse([row({}), row({ parent: 91 })], 'bad-argument', /parent/);
    for (const rows of [[1], [-1], [0, 0], [0.5]]) {
      await refuse([row({})], 'bad-argument', /Selected rows/, rows);
    }
    await refuse(chainOf(sequence, tokensOf(3, 11)), 'context-full', /11 rows.*100.*90/);
    const tree = range(0, 65).map((): StepRow => ({ sequence: other, token: 1, position: 0, parent: -1 }));
    await refuse(tree, 'bad-argument', /64/);
    const closed = cache.openSequence();
    closed.close();
    await refuse([row({}), row({ sequence: closed, parent: -1 })], 'bad-argument', /closed/);
    for (const options of [{ maxRows: 33 }, { maxSelected: 17 }, { maxRows: 0 }, { maxSequences: 1 }]) {
      assert.throws(() => engine.open(options), { code: 'bad-argument' });
    }
    await feed(executor, sequence, tokensOf(3, 10));
    assert.equal(sequence.committed, 100);
    await engine.close();
  });

  test(`${name}: everything comes from the budget and goes back`, { skip }, async () => {
    const budget = openBudget();
    const backend = await openBackend(name, { threads: 1 });
    const engine = await open({ budget, backend });
    await feed(engine.executor, engine.cache.openSequence(), prompt);
    const { weightBytes } = backend.memory();
    assert.equal(budget.reservedBytes, weightBytes + engine.executor.arenaBytes + engine.cache.heldBytes);
    const withoutPages = budget.reservedBytes - engine.cache.heldBytes;
    const rows = chainOf(engine.cache.openSequence(), prompt);
    const step = { rows, select: { kind: 'logits', rows: [0] } } as const;
    // The first is not over when the executor is closed, however fast the machine.
    const onLogits = () => new Promise<void>((resolve) => setImmediate(resolve));
    const running = [engine.executor.run(step, { onLogits }), engine.executor.run(step)];
    const outcomes = running.map((run) => assert.rejects(run, { code: 'aborted' }));
    await Promise.all([...outcomes, engine.close()]);
    await assert.rejects(engine.executor.run(step), { code: 'aborted' });
    assert.deepEqual(backend.memory(), { weightBytes: 0, regionBytes: 0 });
    assert.equal(budget.reservedBytes, 0);
    const tight = openBudget(withoutPages - 1000);
    await assert.rejects(open({ budget: tight, backend }), { code: 'out-of-budget' });
    await backend.close();
  });

  test(`${name}: a trace names the programs that ran, and only those that were needed`, {
    skip,
  }, async () => {
    const events: TraceEvent[] = [];
    const engine = await open({ onTrace: (event) => events.push(event) });
    const sequence = engine.cache.openSequence();
    const rows = chainOf(sequence, prompt.slice(0, 40));
    await engine.executor.run({ rows, select: { kind: 'argmax', rows: [39] } });
    await engine.executor.run({ rows: chainOf(sequence, [1]), select: { kind: 'logits', rows: [0] } });
    assert.deepEqual(
      events.map((event) => `${event.name} ${event.rows}`),
      ['body 32', 'body 8', 'head 8', 'argmax 8', 'body 1', 'head 1'],
    );
    const step = (token: number) =>
      engine.executor.run({ rows: chainOf(sequence, [token]), select: { kind: 'logits', rows: [0] } });
    const result = await step(2);
    const { logits } = result;
    assert.equal(await step(3), result, 'results of one sequence are reused');
    assert.equal(result.logits, logits);
    for (const { startMs, durationMs } of events) assert.ok(startMs > 0 && durationMs >= 0);
    await engine.close();
  });
}

test('the hidden rows keep their place until the step is over, for further passes of the head', async () => {
  for (const shape of tinyShapeNames) {
    const model = await openModel(await openTinyModel(shape));
    const capability = (await openBackend('reference')).describe();
    for (const limits of [
      { maxRows: 32, maxSelected: 16 },
      { maxRows: 64, maxSelected: 1 },
    ]) {
      const { buffers, graph } = makePlan(model.build(limits), capability);
      const hidden = known(
        buffers.find(({ value }) => value === graph.hidden),
        'buffer of the hidden rows',
      );
      const after = buffers.filter(({ slot, first }) => slot === hidden.slot && first > hidden.first);
      assert.deepEqual(after, [], shape);
    }
  }
});

test('a device that fails in the middle of a step leaves the sequences as they were', async () => {
  const real = await openBackend('reference');
  let submitsLeft = Number.POSITIVE_INFINITY;
  const backend: Backend = new Proxy(real, {
    get(target, property) {
      const member = Reflect.get(target, property, target) as unknown;
      if (typeof member !== 'function') return member;
      if (property !== 'submit') return member.bind(target);
      return (...args: Parameters<Backend['submit']>) => {
        submitsLeft--;
        if (submitsLeft === -1) throw new NearfieldError('internal', 'submit threw');
        if (submitsLeft >= 0) return target.submit(...args);
        return args[3].fail(new NearfieldError('backend', 'the device is lost'));
      };
    },
  });
  const engine = await openTinyEngine('reference', { backend });
  const { executor, cache } = engine;
  const sequence = cache.openSequence();
  await feed(executor, sequence, prompt.slice(0, 20));
  const step = { rows: chainOf(sequence, prompt), select: { kind: 'argmax', rows: [149] } } as const;
  submitsLeft = 3;
  await assert.rejects(executor.run(step), { code: 'internal' });
  assert.deepEqual([sequence.committed, sequence.pending], [20, 0]);
  await assert.rejects(executor.run(step), { code: 'backend' });
  assert.deepEqual([sequence.committed, sequence.pending], [20, 0]);
  submitsLeft = Number.POSITIVE_INFINITY;
  const plain = cache.openSequence();
  const expected = await feed(executor, plain, [...prompt.slice(0, 20), 4]);
  assert.deepEqual(await feed(executor, sequence, [4]), expected);
  await engine.close();
  await real.close();
});
