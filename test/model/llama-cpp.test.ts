/** Random models, tiny ones and ones as wide as published models, against llama.cpp on the same file. */
import assert from 'node:assert/strict';
import { statfs, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { formatMix } from '../../apps/bench/format-mixes.ts';
import { type ModelShapeName, modelShapes } from '../../apps/bench/model-shapes.ts';
import { writeRandomModel } from '../../apps/bench/random-model.ts';
import { assertSameChoices, worstDifference } from '../fixture/compare-logits.ts';
import { feedChain, openRunner } from '../fixture/model-runner.ts';
import { temporaryFolder } from '../fixture/temporary-folder.ts';
import { type TinyShapeName, tinyModelBytes, tinyShapeNames } from '../fixture/tiny-model.ts';
import { openOracle } from '../oracle/llama.ts';

/** What llama.cpp does not do for the architecture `llama`, though a file may ask for it. */
const unknownToLlamaCpp: readonly TinyShapeName[] = [
  'llama, partial rotary', // it refuses the file
  'llama, sliding window', // it attends to everything
  'llama, yarn rope with its own ramp', // it keeps the default ramp
];

test('tiny models give the log-probabilities of llama.cpp', async (t) => {
  const opened = await openOracle({ cache: 'f32' });
  if ('skip' in opened) return t.skip(opened.skip);
  await using oracle = opened;
  await using folder = await temporaryFolder();
  const ids = Array.from({ length: 140 }, (_, index) => (index * 37 + 11) % 280);
  for (const name of tinyShapeNames.filter((shape) => !unknownToLlamaCpp.includes(shape))) {
    await t.test(name, async () => {
      const path = folder.path(`${name.replace(/\W+/g, '-')}.gguf`);
      await writeFile(path, await tinyModelBytes(name));
      const theirs = await oracle.logits(path, ids);
      for (const backend of ['reference', 'wasm'] as const) {
        await using runner = await openRunner(path, { backend, threads: 1 });
        const worst = worstDifference(await feedChain(runner, runner.cache.openSequence(), ids), theirs);
        assert.ok(worst < 1e-3, `${backend}: worst difference ${worst}`);
      }
    });
  }
});

/** Whole models but for the last, whose two layers are enough to meet the kernels of the mix. */
const published: readonly [ModelShapeName, format: string, layers: number][] = [
  ['llama-3.2-1b', 'q4_0', 16],
  ['qwen2.5-0.5b', 'q8_0', 24],
  ['llama-3.2-1b', 'q4_k_m', 2],
];
const diskBytes = 3e9;

test('random models of published shapes choose as llama.cpp does', async (t) => {
  const opened = await openOracle();
  if ('skip' in opened) return t.skip(opened.skip);
  await using oracle = opened;
  await using folder = await temporaryFolder();
  const { bavail, bsize } = await statfs(folder.path('.'));
  if (bavail * bsize < diskBytes) return t.skip(`less than ${diskBytes / 1e9} GB free for temporary files`);
  for (const [name, format, layers] of published) {
    await t.test(`${name}, ${layers} layers, ${format}`, async () => {
      const path = folder.path(`${name}-${format}.gguf`);
      const shape = { ...modelShapes[name], layers };
      await writeRandomModel(path, { shape, format: formatMix(format, shape) });
      const promptIds = Array.from({ length: 12 }, (_, index) => (index * 7919 + 101) % 100_000);
      const theirs = await oracle.greedy(path, promptIds, 24);
      await using runner = await openRunner(path, { backend: 'wasm' });
      const tokens = [...promptIds, ...theirs.ids.slice(0, -1)];
      const rows = await feedChain(runner, runner.cache.openSequence(), tokens, 16, 24);
      assertSameChoices(rows, theirs, 0.2, name);
    });
  }
});
