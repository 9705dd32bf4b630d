/**
 * Same rows, same bits: the logits of a row do not depend on the rows beside it, on how a prompt is cut, on the number of
 * threads, or on whether the row came as part of a tree.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { philox } from '../../src/base/random.ts';
import { formatByName } from '../../src/format.ts';
import { assertSameBits, meanDivergence, mostLikely, worstDifference } from '../fixture/compare-logits.ts';
import {
  feedChain,
  feedTree,
  type Logits,
  type ModelRunner,
  openRunner,
  type TokenNodes,
} from '../fixture/model-runner.ts';
import { type TinyShapeName, tinyModelBytes, tinyShapeNames } from '../fixture/tiny-model.ts';

const machines = [
  { backend: 'reference', threads: 1 },
  { backend: 'wasm', threads: 1 },
  { backend: 'wasm', threads: 2 },
] as const;

/** Longer than a cache page of 128 rows, so that attention crosses from one to the next. */
const prompt = Array.from({ length: 150 }, (_, index) => (index * 37 + 11) % 280);

/** A tree of `count` nodes, each under a random earlier one or the root. */
function randomTree(count: number, seed: number): TokenNodes {
  const words = Array.from({ length: count }, (_, node) => philox([node, 0, 0, 0], seed, 0));
  return {
    tokens: words.map(([word]) => word % 280),
    parents: words.map(([, word], node) => (word % (node + 1)) - 1),
  };
}

/** Nodes from the root down to `node`. */
function pathTo(node: number, parents: readonly number[]): number[] {
  const path: number[] = [];
  for (let at = node; at >= 0; at = parents[at] ?? -1) path.unshift(at);
  return path;
}

async function wholePrompt(runner: ModelRunner): Promise<Logits[]> {
  return feedChain(runner, runner.cache.openSequence(), prompt);
}

for (const name of ['llama', 'llama, sliding window', 'qwen2'] satisfies TinyShapeName[]) {
  for (const format of ['f32', 'q8_0', 'q4_0']) {
    test(`${name} in ${format}: whole, chunked and token by token, on one thread and on two`, async (t) => {
      const bytes = await tinyModelBytes(name, { format: formatByName(format) });
      const whole = new Map<string, Logits[]>();
      for (const machine of machines) {
        await using runner = await openRunner(bytes, machine);
        const rows = await wholePrompt(runner);
        const before = whole.get(machine.backend) ?? rows;
        assertSameBits(rows, before, `${machine.threads} threads`);
        whole.set(machine.backend, before);
        for (const rowsPerStep of [1, 7, 64]) {
          const cut = await feedChain(runner, runner.cache.openSequence(), prompt, rowsPerStep);
          assertSameBits(cut, rows, `${machine.backend}, ${rowsPerStep} rows a step`);
        }
        await using narrow = await openRunner(bytes, { ...machine, maxRows: 48 });
        assertSameBits(await wholePrompt(narrow), rows, `${machine.backend}, cut by the executor`);
      }
      const [reference, wasm] = [whole.get('reference'), whole.get('wasm')];
      assert.ok(reference && wasm);
      // Float32 against float64; quantized weights meet activations of 8 bits.
      if (format === 'f32') assert.ok(worstDifference(wasm, reference) < 1e-4);
      const divergence = meanDivergence(wasm, reference);
      t.diagnostic(`mean divergence ${divergence}, worst ${worstDifference(wasm, reference)}`);
      assert.ok(divergence < 1e-3, `mean divergence ${divergence}`);
    });
  }
}

for (const name of ['llama', 'llama, sliding window', 'qwen2'] satisfies TinyShapeName[]) {
  test(`${name}: a tree equals its paths`, async () => {
    const bytes = await tinyModelBytes(name, { format: formatByName('q8_0') });
    for (const machine of machines) {
      await using runner = await openRunner(bytes, machine);
      const tree = randomTree(40, 5);
      const sequence = runner.cache.openSequence();
      await feedChain(runner, sequence, prompt, prompt.length, 1);
      const { logits, cacheRows } = await feedTree(runner, sequence, tree);
      const alone = runner.cache.openSequence();
      await feedChain(runner, alone, prompt, prompt.length, 1);
      for (const node of [0, 7, 19, 39]) {
        const path = pathTo(node, tree.parents);
        const rows = await feedChain(
          runner,
          alone,
          path.map((step) => tree.tokens[step] ?? 0),
          1,
        );
        assertSameBits(path.map((step) => logits[step] ?? []) as Logits[], rows, `path to node ${node}`);
        alone.forget(prompt.length);
      }
      // What is kept of a tree serves what follows as if it had come as a chain.
      const kept = pathTo(39, tree.parents);
      await runner.executor.move(sequence.commit(kept.map((node) => cacheRows[node] ?? -1)));
      const after = await feedChain(runner, sequence, [5, 6, 7]);
      await feedChain(
        runner,
        alone,
        kept.map((node) => tree.tokens[node] ?? 0),
      );
      assertSameBits(after, await feedChain(runner, alone, [5, 6, 7]), 'after the commit');
    }
  });

  test(`${name}: a tree drafted level by level equals one verified in one step`, async () => {
    const bytes = await tinyModelBytes(name);
    for (const machine of machines) {
      await using runner = await openRunner(bytes, machine);
      const tree = randomTree(24, 9);
      const [whole, grown] = [runner.cache.openSequence(), runner.cache.openSequence()];
      for (const sequence of [whole, grown]) await feedChain(runner, sequence, prompt.slice(0, 20), 20, 1);
      const { logits } = await feedTree(runner, whole, tree);
      const cacheRows: number[] = [];
      const depths: number[] = [];
      for (const [node, token] of tree.tokens.entries()) {
        const parent = tree.parents[node] ?? -1;
        const depth = parent < 0 ? 0 : (depths[parent] ?? 0) + 1;
        depths.push(depth);
        const under = parent < 0 ? grown.committed - 1 : (cacheRows[parent] ?? -1);
        const step = await runner.executor.run({
          rows: [{ sequence: grown, token, position: grown.committed + depth, parent: under }],
          select: { kind: 'logits', rows: [0] },
        });
        cacheRows.push(step.cacheRows[0] ?? -1);
        const row = step.logits.slice(0, runner.executor.vocabularySize);
        assertSameBits([row], logits.slice(node, node + 1), `node ${node}`);
      }
    }
  });
}

test('sequences side by side in one step do not touch each other', async () => {
  const bytes = await tinyModelBytes('llama');
  for (const machine of machines) {
    await using runner = await openRunner(bytes, machine);
    const [first, second] = [runner.cache.openSequence(), runner.cache.openSequence()];
    await feedChain(runner, first, prompt.slice(0, 30), 30, 1);
    await feedChain(runner, second, prompt.slice(50, 70), 20, 1);
    const both = await runner.executor.run({
      rows: [
        { sequence: first, token: 3, position: 30, parent: 29 },
        { sequence: second, token: 4, position: 20, parent: 19 },
      ],
      select: { kind: 'argmax', rows: [0, 1] },
    });
    const together = [...both.argmax];
    first.forget(30);
    second.forget(20);
    const apart = [await feedChain(runner, first, [3]), await feedChain(runner, second, [4])].flat();
    assert.deepEqual(together, apart.map(mostLikely));
  }
});

test('every tiny model says the same on wasm as on the reference', async (t) => {
  for (const name of tinyShapeNames) {
    await t.test(name, async () => {
      const bytes = await tinyModelBytes(name);
      const results: Logits[][] = [];
      for (const backend of ['reference', 'wasm'] as const) {
        await using runner = await openRunner(bytes, { backend, threads: 1 });
        results.push(await wholePrompt(runner));
      }
      const [reference = [], wasm = []] = results;
      const worst = worstDifference(wasm, reference);
      assert.ok(worst < 1e-4, `worst difference ${worst}`);
    });
  }
});

test('quantized models of every family: whole and chunked', async (t) => {
  for (const name of tinyShapeNames.filter((shape) => !/^(llama|qwen2)/.test(shape))) {
    await t.test(name, async () => {
      const bytes = await tinyModelBytes(name, { format: formatByName('q8_0') });
      await using runner = await openRunner(bytes, { backend: 'wasm', threads: 2 });
      const whole = await feedChain(runner, runner.cache.openSequence(), prompt, 75);
      const chunked = await feedChain(runner, runner.cache.openSequence(), prompt, 7);
      assertSameBits(chunked, whole, name);
      assert.ok(whole.every((row) => row.every(Number.isFinite)));
    });
  }
});

test('a window hides what is further back, layer by layer', async () => {
  for (const machine of machines) {
    await using windowed = await openRunner(await tinyModelBytes('llama, sliding window'), machine);
    await using full = await openRunner(await tinyModelBytes('llama'), machine);
    const rows = await wholePrompt(windowed);
    const fullRows = await wholePrompt(full);
    assertSameBits(rows.slice(0, 16), fullRows.slice(0, 16), 'rows that see everything');
    assert.ok(
      worstDifference(rows.slice(16, 17), fullRows.slice(16, 17)) > 1e-3,
      'the window changes row 16',
    );
    // Three layers of 16 rows reach back 3 · 15 rows.
    const changed = [(prompt[0] ?? 0) + 1, ...prompt.slice(1)];
    const others = await feedChain(windowed, windowed.cache.openSequence(), changed);
    assert.ok(worstDifference(others.slice(45, 46), rows.slice(45, 46)) > 0, 'row 45 feels row 0');
    assertSameBits(others.slice(46), rows.slice(46), 'rows beyond reach');
  }
});
