/** Models whose layers lie in several memories: the same bits as in one, whatever is done with them. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openModel } from '../../src/architecture.ts';
import { openBackend } from '../../src/backend.ts';
import { type CheckpointInput, openCheckpoint } from '../../src/checkpoint.ts';
import { loadLocalEngine } from '../../src/engine/load-local.ts';
import { openExecutor } from '../../src/executor.ts';
import { formatByName } from '../../src/format.ts';
import type { CacheType } from '../../src/graph.ts';
import { openKvCache, type Sequence } from '../../src/kv-cache.ts';
import { loadWeights, openBudget } from '../../src/weights.ts';
import { assertSameBits } from '../fixture/compare-logits.ts';
import { chainRows, feedChain, feedTree, type Logits } from '../fixture/model-runner.ts';
import { spreadPlan } from '../fixture/spread-plan.ts';
import { type TinyShapeName, tinyModelBytes } from '../fixture/tiny-model.ts';

const fable = fileURLToPath(new URL('../../models/fable/fable-4m-q8_0.gguf', import.meta.url));
const mebibyte = 2 ** 20;
const prompt = Array.from({ length: 150 }, (_, index) => (index * 37 + 11) % 280);
const tree = { tokens: [5, 6, 7, 8, 9, 10, 11], parents: [-1, -1, 1, 1, 0, 3, 5] };
/** From the root to the last node; not the nodes that come first, so that rows move. */
const kept = [1, 3, 5, 6];

interface Setting {
  readonly memories: number;
  readonly threads?: number;
  readonly cacheType?: CacheType;
}

async function openSpread(input: CheckpointInput, { memories, threads = 2, cacheType = 'f32' }: Setting) {
  const checkpoint = await openCheckpoint(input);
  const model = await openModel(checkpoint);
  const backend = await openBackend('wasm', { threads, memories });
  const graph = model.build({ maxRows: 48, maxSelected: 16 });
  const plan = spreadPlan(graph, backend.describe(), memories, { cacheType });
  const budget = openBudget();
  const { memoryOf } = plan;
  const weights = await loadWeights({ weights: graph.weights, memoryOf, checkpoint, backend, budget });
  await checkpoint.close();
  const contextLength = Math.min(512, model.description.contextLength);
  const cache = openKvCache({ backend, layout: plan.cache, contextLength, budget });
  const executor = openExecutor({ backend, plan, weights, cache, budget });
  return {
    ...{ backend, plan, cache, executor, weights, budget },
    async [Symbol.asyncDispose]() {
      await executor.close();
      cache.close();
      weights.close();
      const held = backend.memory();
      await backend.close();
      assert.deepEqual([held, budget.reservedBytes], [{ weightBytes: 0, regionBytes: 0 }, 0]);
    },
  };
}

type Runner = Awaited<ReturnType<typeof openSpread>>;

async function savedPages(runner: Runner, sequence: Sequence): Promise<Uint8Array[]> {
  const pages: Uint8Array[] = [];
  await runner.cache.save(sequence, async (page) => {
    pages.push(page.slice());
  });
  return pages;
}

/** Every way of feeding a model there is; the logits in order, and the pages at the end. */
async function everything(runner: Runner): Promise<{ logits: Logits[]; pages: Uint8Array[] }> {
  const { cache, executor } = runner;
  const logits: Logits[] = [];
  const sequence = cache.openSequence();
  logits.push(...(await feedChain(runner, sequence, prompt)));
  logits.push(...(await feedChain(runner, sequence, [3, 1, 4, 1, 5], 1)));
  const verified = await feedTree(runner, sequence, tree);
  logits.push(...verified.logits);
  const moves = sequence.commit(kept.map((node) => verified.cacheRows[node] ?? -1));
  assert.ok(moves.length > 0);
  await executor.move(moves);
  logits.push(...(await feedChain(runner, sequence, [2, 7], 1)));
  const { sequence: fork, moves: copies } = cache.share(sequence, 140);
  assert.ok(copies.length > 0);
  await executor.move(copies);
  logits.push(...(await feedChain(runner, fork, [9, 9, 8])));
  logits.push(...(await feedChain(runner, sequence, [1])));
  const rows = chainRows(sequence, [12, 13]);
  const { argmax } = await executor.run({ rows, select: { kind: 'argmax', rows: [0, 1] } });
  logits.push(Float64Array.from(argmax));
  sequence.forget(sequence.committed);
  return { logits, pages: await savedPages(runner, sequence) };
}

for (const [shape, format, cacheType] of [
  ['llama', 'f32', 'f32'],
  ['llama, tied head', 'q8_0', 'f16'],
  ['llama, sliding window', 'q4_0', 'f32'],
  ['qwen2', 'q8_0', 'f16'],
] as const satisfies [TinyShapeName, string, CacheType][]) {
  test(`${shape} in ${format}, cache ${cacheType}: the same bits in one memory, in two and in three`, async () => {
    const bytes = await tinyModelBytes(shape, { format: formatByName(format) });
    await using whole = await openSpread(bytes, { memories: 1, cacheType });
    const expected = await everything(whole);
    for (const memories of [2, 3]) {
      await using spread = await openSpread(bytes, { memories, cacheType });
      const used = new Set(spread.plan.segments.map(({ memory }) => memory));
      assert.equal(used.size, memories);
      const { logits, pages } = await everything(spread);
      assertSameBits(logits, expected.logits, `${memories} memories`);
      assert.deepEqual(pages, expected.pages, 'pages are saved alike, wherever their layers lie');
      const restored = await whole.cache.restore(128, async (page) => page.set(pages[0] ?? []));
      const returned = await spread.cache.restore(128, async (page) => page.set(pages[0] ?? []));
      const [there] = await feedChain(whole, restored, [42]);
      const [here] = await feedChain(spread, returned, [42]);
      assert.ok(there && here);
      assertSameBits([here], [there], 'restored');
      restored.close();
    }
  });
}

test('one thread gives the same bits as two', async () => {
  const bytes = await tinyModelBytes('llama', { format: formatByName('q4_0') });
  await using two = await openSpread(bytes, { memories: 2 });
  await using one = await openSpread(bytes, { memories: 2, threads: 1 });
  assertSameBits((await everything(one)).logits, (await everything(two)).logits, 'one thread');
});

test('the weights and the cache are shared out, none is held twice', async () => {
  const bytes = await tinyModelBytes('llama');
  await using whole = await openSpread(bytes, { memories: 1 });
  await using spread = await openSpread(bytes, { memories: 3 });
  assert.equal(spread.weights.packedBytes, whole.weights.packedBytes);
  assert.equal(spread.backend.memory().weightBytes, whole.weights.packedBytes);
  assert.equal(spread.plan.cache.pageBytes, whole.plan.cache.pageBytes);
  const { weightBytes, regionBytes } = spread.backend.memory();
  assert.equal(spread.budget.reservedBytes, weightBytes + regionBytes, 'arenas of all memories are counted');
  assert.ok(spread.plan.cache.strideBytes < whole.plan.cache.strideBytes);
  assert.ok(Math.max(...spread.plan.weightBytes) < 0.6 * whole.weights.packedBytes);
});

test('an abort in the middle of a step ends it, and the next step is right', async () => {
  const bytes = await tinyModelBytes('llama');
  await using whole = await openSpread(bytes, { memories: 1 });
  await using spread = await openSpread(bytes, { memories: 3 });
  const expected = await feedChain(whole, whole.cache.openSequence(), prompt);
  for (const stopAfter of [48, 96, 144]) {
    const sequence = spread.cache.openSequence();
    const controller = new AbortController();
    const step = { rows: chainRows(sequence, prompt), select: { kind: 'argmax', rows: [149] } } as const;
    const running = spread.executor.run(step, {
      signal: controller.signal,
      onProgress: (rows) => rows === stopAfter && controller.abort(),
    });
    await assert.rejects(running, { code: 'aborted' });
    assert.deepEqual([sequence.committed, sequence.pending], [0, 0]);
    sequence.close();
  }
  assertSameBits(await feedChain(spread, spread.cache.openSequence(), prompt), expected, 'after the aborts');
});

test('closing in the middle of a step ends it', async () => {
  const bytes = await tinyModelBytes('llama');
  const spread = await openSpread(bytes, { memories: 2 });
  const rows = chainRows(spread.cache.openSequence(), prompt);
  let closing: Promise<void> | undefined;
  const running = spread.executor.run(
    { rows, select: { kind: 'nothing' } },
    {
      onProgress: () => {
        closing ??= spread[Symbol.asyncDispose]();
      },
    },
  );
  await assert.rejects(running, { code: 'aborted' });
  assert.ok(closing);
  await closing;
});

test('an engine whose memories are small generates the same text', async () => {
  const texts: string[] = [];
  const [budget, contextLength, chunkRows] = [32 * mebibyte, 256, 64];
  for (const memoryBytes of [4096 * mebibyte, 8 * mebibyte, 6 * mebibyte]) {
    const options = { contextLength, chunkRows, memoryBytes, threads: 2, cacheType: 'f16' } as const;
    await using engine = await loadLocalEngine(fable, { ...options, memoryBudget: budget });
    await using session = await engine.session();
    const first = await session.generate('Once upon a time', { maxTokens: 60, logprobs: 2 }).result();
    const saved = await session.save();
    await using restored = await engine.restore(saved);
    const ids = [...(await session.tokens()), 300, 301];
    assert.deepEqual(await restored.score(ids), await session.score(ids));
    texts.push(first.text);
  }
  assert.equal(new Set(texts).size, 1);
});

test('a load that is aborted half-way ends the threads of all memories', async () => {
  const tasks = '/proc/self/task';
  const threads = () => (existsSync(tasks) ? readdirSync(tasks).length : 0);
  const before = threads();
  const controller = new AbortController();
  const loading = loadLocalEngine(fable, {
    ...{ contextLength: 256, chunkRows: 64, threads: 2, memoryBytes: 8 * mebibyte },
    signal: controller.signal,
    onProgress: ({ stage, loadedBytes, totalBytes }) => {
      if (stage === 'weights' && loadedBytes > totalBytes / 2) controller.abort();
    },
  });
  await assert.rejects(loading, { code: 'aborted' });
  assert.ok(threads() <= before);
});

test('what does not fit is refused before anything is loaded', async () => {
  const load = (memoryBytes: number, memoryBudget?: number) =>
    loadLocalEngine(fable, {
      ...{ contextLength: 256, chunkRows: 64, threads: 1, memoryBytes },
      ...(memoryBudget === undefined ? {} : { memoryBudget }),
    });
  await assert.rejects(load(3 * mebibyte), {
    code: 'out-of-budget',
    message: /^No room for weights[^\n]*$/,
  });
  await assert.rejects(load(6 * mebibyte, mebibyte), {
    code: 'out-of-budget',
    message: /^No room for weights[^\n]*$/,
  });
  for (const memories of [0, 17, 1.5]) {
    await assert.rejects(openBackend('wasm', { threads: 1, memories }), { code: 'bad-argument' });
  }
  await assert.rejects(openBackend('wasm', { memoryBytes: 1000 }), { code: 'bad-argument' });
});
