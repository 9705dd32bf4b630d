/** Mixtures of experts in the formats people download: against llama.cpp, to the bit against themselves, streamed. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import type { ModelShape } from '../../apps/bench/model-shapes.ts';
import {
  copyOfMetadata,
  type GgufTensor,
  memorySink,
  openCheckpoint,
  writeGguf,
} from '../../src/checkpoint.ts';
import { formatByName } from '../../src/format.ts';
import { openStore } from '../../src/store.ts';
import { assertSameBits, mostLikely } from '../fixture/compare-logits.ts';
import { feedChain, feedTree, type ModelRunner, openRunner } from '../fixture/model-runner.ts';
import { feed } from '../fixture/open-executor.ts';
import { openStreamed } from '../fixture/open-streamed.ts';
import { temporaryFolder } from '../fixture/temporary-folder.ts';
import { type TinyShapeName, tinyModelBytes, tinyShapes } from '../fixture/tiny-model.ts';
import { openOracle } from '../oracle/llama.ts';

/** Each family in the formats of which it is met. */
const families = {
  'llama, experts': ['q4_0', 'q4_k', 'mxfp4'],
  qwen2moe: ['q4_0'],
  qwen3moe: ['q4_k'],
  granitemoe: ['q4_0'],
  'gpt-oss': ['mxfp4'],
} as const satisfies { readonly [Name in TinyShapeName]?: readonly string[] };

const names = Object.keys(families) as readonly (keyof typeof families)[];

/** Wide enough for blocks of 256 values. */
function wideShape(name: TinyShapeName): ModelShape {
  const { experts, ...shape }: ModelShape = tinyShapes[name];
  assert.ok(experts);
  const wide = experts.feedForward === undefined ? experts : { ...experts, feedForward: 256 };
  const shared = experts.sharedFeedForward === undefined ? {} : { sharedFeedForward: 256 };
  const sizes = { layers: 3, hidden: 256, headSize: 64, feedForward: 256 };
  return { ...shape, ...sizes, experts: { ...wide, ...shared } };
}

const wideBytes = (name: TinyShapeName, format: string): Promise<Uint8Array> =>
  tinyModelBytes(name, { shape: wideShape(name), format: formatByName(format) });

const prompt = Array.from({ length: 24 }, (_, index) => (index * 37 + 11) % 280);

/** Where two experts are nearly even for a row, rounded activations may change which is chosen, and then what the row says. */
test('quantized experts choose as llama.cpp does', async (t) => {
  const opened = await openOracle();
  if ('skip' in opened) return t.skip(opened.skip);
  await using oracle = opened;
  await using folder = await temporaryFolder();
  for (const name of names) {
    for (const format of families[name]) {
      await t.test(`${name} in ${format}`, async () => {
        const path = folder.path(`${name.replace(/\W+/g, '-')}-${format}.gguf`);
        await writeFile(path, await wideBytes(name, format));
        const theirs = await oracle.greedy(path, prompt, 32);
        const tokens = [...prompt, ...theirs.ids.slice(0, -1)];
        await using runner = await openRunner(path, { backend: 'wasm', threads: 2 });
        const rows = await feedChain(runner, runner.cache.openSequence(), tokens, tokens.length, 32);
        const clear = [...rows.keys()].filter((place) => (theirs.gaps[place] ?? 0) > 0.5);
        const wrong = clear.filter(
          (place) => mostLikely(rows[place] ?? new Float32Array()) !== theirs.ids[place],
        );
        assert.ok(
          clear.length >= 8 && wrong.length <= clear.length / 10,
          `${wrong.length} of ${clear.length}`,
        );
      });
    }
  }
});

const parents = [-1, 0, 0, 1, -1, 4, 4, 2];
const branch = [0, 2, 7];

async function inTree(runner: ModelRunner): Promise<Float32Array[] | Float64Array[]> {
  const sequence = runner.cache.openSequence();
  await feedChain(runner, sequence, prompt);
  const tokens = parents.map((_, node) => (node * 53 + 7) % 280);
  const { logits } = await feedTree(runner, sequence, { tokens, parents });
  return branch.map((node) => logits[node]) as Float32Array[];
}

test('whole, chunked, token by token and in a tree: the same bits', async (t) => {
  for (const name of names) {
    for (const [format, backend] of [
      ['f32', 'reference'],
      ['f32', 'wasm'],
      ['mxfp4', 'wasm'],
    ] as const) {
      // Slow, and the plainest code there is.
      if (backend === 'reference' && name !== 'gpt-oss') continue;
      await t.test(`${name} in ${format} on ${backend}`, async () => {
        await using runner = await openRunner(await wideBytes(name, format), { backend, threads: 2 });
        const tokens = [...prompt, ...branch.map((node) => (node * 53 + 7) % 280)];
        const whole = await feedChain(runner, runner.cache.openSequence(), tokens);
        for (const rowsPerStep of [1, 7]) {
          const cut = await feedChain(runner, runner.cache.openSequence(), tokens, rowsPerStep);
          assertSameBits(cut, whole, `${rowsPerStep} rows a step`);
        }
        assertSameBits(await inTree(runner), whole.slice(-branch.length), 'in a tree');
      });
    }
  }
});

test('experts that are streamed give the same bits', async (t) => {
  await using folder = await temporaryFolder();
  const store = await openStore({ folder: folder.path('cache') });
  for (const name of ['qwen2moe', 'gpt-oss'] as const) {
    await t.test(name, async () => {
      const bytes = await wideBytes(name, 'q4_0');
      await using runner = await openRunner(bytes, { backend: 'wasm', threads: 2, cacheType: 'f32' });
      const tokens = prompt.slice(0, 9);
      const rows = await feedChain(runner, runner.cache.openSequence(), tokens);
      for (const resident of [0, 2]) {
        await using model = await openStreamed('wasm', bytes, { store, sidecarName: name, resident });
        assert.equal(model.residency.streamed.length, 3 - resident);
        const last = await feed(model.executor, model.cache.openSequence(), tokens);
        assert.deepEqual(last, [...(rows.at(-1) ?? [])]);
      }
    });
  }
});

/** The file as it was made when every expert's matrix was a tensor of its own. */
async function unstacked(bytes: Uint8Array): Promise<Uint8Array> {
  const checkpoint = await openCheckpoint(bytes);
  const tensors: GgufTensor[] = [];
  for (const entry of checkpoint.tensors.values()) {
    const { name, format, shape, byteLength } = entry;
    const data = new Uint8Array(byteLength);
    await checkpoint.read(entry, 0, data);
    const [count = 1, ...matrix] = shape;
    const stride = byteLength / count;
    if (!name.includes('_exps.')) tensors.push({ name, format, shape, data });
    else
      for (let expert = 0; expert < count; expert++) {
        const part = data.subarray(expert * stride, (expert + 1) * stride);
        tensors.push({ name: name.replace('_exps.', `.${expert}.`), format, shape: matrix, data: part });
      }
  }
  const sink = memorySink();
  await writeGguf(sink, { metadata: copyOfMetadata(checkpoint.metadata), tensors });
  return sink.bytes();
}

test('a Mixtral from before its experts were stacked gives the same bits', async () => {
  const bytes = await wideBytes('llama, experts', 'q4_0');
  const rows = await Promise.all(
    [bytes, await unstacked(bytes)].map(async (file) => {
      await using runner = await openRunner(file, { backend: 'wasm', threads: 1 });
      return await feedChain(runner, runner.cache.openSequence(), prompt);
    }),
  );
  assertSameBits(rows[1] ?? [], rows[0] ?? [], 'unstacked');
});
