/** Models whose layers are streamed: the same bits as with all weights in memory, whatever stays there. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import type { BackendName } from '../../src/backend.ts';
import type { PlanExecutor } from '../../src/executor.ts';
import { formatByName } from '../../src/format.ts';
import type { KvCache } from '../../src/kv-cache.ts';
import { openStore, type Store } from '../../src/store.ts';
import { chainOf, feed, openTinyEngine, type TinyEngine } from '../fixture/open-executor.ts';
import { openStreamed } from '../fixture/open-streamed.ts';
import { type TemporaryFolder, temporaryFolder } from '../fixture/temporary-folder.ts';
import { tinyModelBytes, tinyShapes } from '../fixture/tiny-model.ts';

let folder: TemporaryFolder | undefined;
let store: Store;
before(async () => {
  folder = await temporaryFolder();
  store = await openStore({ folder: folder.path('cache') });
});
after(() => folder?.[Symbol.asyncDispose]());

/** Five layers, and a vocabulary of which a table of 32 groups of rows holds a part only. */
const shape = { ...tinyShapes.llama, layers: 5, vocabulary: 1200 };
const shapes = { untied: shape, tied: { ...shape, tied: true } };

/** A prompt in two passes, tokens one by one, a tree, and what follows the branch that is kept; logits of all of it. */
async function play({ executor, cache }: { executor: PlanExecutor; cache: KvCache }): Promise<number[]> {
  const sequence = cache.openSequence();
  const tokens = Array.from({ length: 45 }, (_, index) => (index * 97) % 1200);
  const seen = await feed(executor, sequence, tokens);
  for (const token of [1199, 3, 600]) seen.push(...(await feed(executor, sequence, [token])));
  const root = sequence.committed - 1;
  const tree = [
    { token: 5, parent: root },
    { token: 700, parent: { row: 0 } },
    { token: 9, parent: { row: 0 } },
    { token: 1100, parent: root },
  ];
  const rows = tree.map((row, index) => ({
    ...row,
    sequence,
    position: root + 1 + (index === 0 || index === 3 ? 0 : 1),
  }));
  const { logits, cacheRows } = await executor.run({ rows, select: { kind: 'logits', rows: [0, 1, 2, 3] } });
  seen.push(...logits);
  await executor.move(sequence.commit([cacheRows[0] ?? 0, cacheRows[2] ?? 0]));
  seen.push(...(await feed(executor, sequence, [8])));
  const argmax = await executor.run({
    rows: chainOf(sequence, [77]),
    select: { kind: 'argmax', rows: [0] },
  });
  seen.push(...argmax.argmax);
  sequence.close();
  return seen;
}

async function playResident(name: BackendName, bytes: Uint8Array): Promise<number[]> {
  const engine: TinyEngine = await openTinyEngine(name, { bytes });
  try {
    return await play(engine);
  } finally {
    await engine.close();
  }
}

for (const name of ['wasm', 'reference'] as const) {
  for (const [kind, modelShape] of Object.entries(shapes)) {
    test(`${name}, ${kind}: the same bits with none, some or all but one of the layers in memory`, async () => {
      const bytes = await tinyModelBytes('llama', { shape: modelShape });
      const expected = await playResident(name, bytes);
      for (const resident of [-1, 0, 1, 2, 4]) {
        // -1: nothing but one layer at a time. 3 take as much as 4: what is streamed needs a slot for two, or for one.
        const options = { resident: Math.max(0, resident), oneSlot: resident < 0 };
        const sidecarName = `${name}-${kind}`;
        await using model = await openStreamed(name, bytes, { store, sidecarName, ...options });
        const { residency, weights, backend } = model;
        assert.deepEqual(
          [residency.resident.size, residency.streamed.length],
          [options.resident, 5 - options.resident],
        );
        assert.equal(residency.slots, Math.min(options.oneSlot ? 1 : 2, 5 - options.resident));
        assert.equal(residency.gathered !== undefined, kind === 'untied');
        assert.deepEqual(await play(model), expected, `${resident} resident`);
        const traffic = weights.traffic();
        // Two passes of the prompt, and one for each further step.
        assert.equal(traffic?.passes, 8);
        assert.equal(traffic?.repairedBlocks, 0);
        const { weightBytes, regionBytes } = backend.memory();
        assert.ok(weightBytes === 0 && regionBytes > residency.residentBytes);
      }
    });
  }
}

test('formats, biases and vectors of every kind are streamed', async () => {
  const mixes = ['q4_k', 'f16'] as const;
  for (const format of mixes) {
    const large = { ...shape, hidden: 256, feedForward: 512, architecture: 'qwen2', queryKeyValueBias: true };
    const bytes = await tinyModelBytes('qwen2', { shape: large, format: formatByName(format) });
    const expected = await playResident('wasm', bytes);
    await using model = await openStreamed('wasm', bytes, {
      store,
      sidecarName: `mix-${format}`,
      resident: 1,
    });
    assert.deepEqual(await play(model), expected, format);
  }
});

test('rows of fused matrices and learned positions are streamed', async () => {
  const wide = { layers: 5, vocabulary: 1200, hidden: 64, feedForward: 96 };
  for (const name of ['phi3', 'gpt2', 'stablelm, 2 12B'] as const) {
    const bytes = await tinyModelBytes(name, {
      shape: { ...tinyShapes[name], ...wide },
      format: formatByName('q8_0'),
    });
    const expected = await playResident('wasm', bytes);
    for (const resident of [0, 2]) {
      await using model = await openStreamed('wasm', bytes, {
        store,
        sidecarName: name.slice(0, 4),
        resident,
      });
      assert.deepEqual(await play(model), expected, name);
      assert.equal(model.residency.gathered?.matrix.name, name === 'gpt2' ? undefined : 'token_embd.weight');
    }
  }
});

test('a trained model says the same from disk', async () => {
  const bytes = await readFile(new URL('../../models/fable/fable-4m-q8_0.gguf', import.meta.url));
  const expected = await playResident('wasm', bytes);
  for (const resident of [0, 2]) {
    await using model = await openStreamed('wasm', bytes, { store, sidecarName: 'fable', resident });
    assert.deepEqual(await play(model), expected);
  }
});
