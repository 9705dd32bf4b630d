/** Files that the quantizer writes, in llama.cpp: they load, and give near the logits they give here. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { writeRandomModel } from '../../apps/bench/random-model.ts';
import { memorySink, openCheckpoint } from '../../src/checkpoint.ts';
import { formatByName } from '../../src/format.ts';
import { chooseFormats, quantizeCheckpoint, recipeByName } from '../../src/quantize.ts';
import { meanDivergence } from '../fixture/compare-logits.ts';
import { feedChain, openRunner } from '../fixture/model-runner.ts';
import { temporaryFolder } from '../fixture/temporary-folder.ts';
import { tinyShapes } from '../fixture/tiny-model.ts';
import { openOracle } from '../oracle/llama.ts';

/** Rows that the blocks of every format fill, and some (of 320 values) that only the smaller do. */
const shape = { ...tinyShapes.llama, layers: 2, hidden: 256, feedForward: 320, keyValueHeads: 4 };
/** Each format at least once. */
const recipes = [
  'f16',
  'bf16',
  'q8_0',
  'q6_k',
  'q5_k_m',
  'q5_1',
  'q5_0',
  'q4_k_m',
  'iq4_nl',
  'iq4_xs',
  'q4_1',
  'q4_0',
].concat(['mxfp4', 'q3_k_m', 'q2_k']);
/** llama.cpp quantizes activations to 8 bits in blocks of 32 or 256, this engine in blocks of 32. */
const mostDivergence = 2e-3;

test('llama.cpp reads what the quantizer writes', async (t) => {
  const opened = await openOracle();
  if ('skip' in opened) return t.skip(opened.skip);
  await using oracle = opened;
  await using folder = await temporaryFolder();
  const whole = memorySink();
  await writeRandomModel(whole, { shape, format: formatByName('f32') });
  const source = await openCheckpoint(whole.bytes());
  const ids = Array.from({ length: 32 }, (_, index) => (index * 37 + 11) % 280);
  for (const recipe of recipes.map(recipeByName)) {
    await t.test(recipe.name, async () => {
      const path = folder.path(`${recipe.name}.gguf`);
      await quantizeCheckpoint(source, path, { recipe, threads: 1 });
      const theirs = await oracle.logits(path, ids);
      await using runner = await openRunner(path, { backend: 'wasm', threads: 1 });
      const ours = await feedChain(runner, runner.cache.openSequence(), ids);
      const divergence = meanDivergence(ours, theirs);
      assert.ok(divergence < mostDivergence, `mean divergence ${divergence}`);
    });
  }
});

const folder = fileURLToPath(new URL('../../../shared/models/fable/', import.meta.url));
const files: Readonly<Record<string, string>> = Object.fromEntries(
  [
    'f16',
    'bf16',
    'q8_0',
    'q4_0',
    'q4_1',
    'q5_0',
    'q5_1',
    'iq4_nl',
    'iq4_xs',
    'q2_k',
    'q3_k_m',
    'q4_k_m',
    'q5_k_m',
    'q6_k',
  ].map((name) => [name, `${folder}fable-4m-${name}.gguf`]),
);

test("recipes are llama.cpp's, tensor by tensor", async (t) => {
  if (!existsSync(folder)) return t.skip('../shared/models/fable is absent');
  const source = await openCheckpoint(`${folder}fable-4m-f32.gguf`);
  for (const [name, path] of Object.entries(files)) {
    const theirs = await openCheckpoint(path);
    const { tensors } = chooseFormats(source, recipeByName(name));
    for (const { entry, format } of tensors) {
      assert.equal(format.name, theirs.tensors.get(entry.name)?.format.name, `${name}: ${entry.name}`);
    }
    assert.equal(recipeByName(name).fileType, theirs.metadata.number('general.file_type'), name);
    await theirs.close();
  }
  await source.close();
});
