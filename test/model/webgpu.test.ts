/** The models of the repository on the webgpu backend: the choices of wasm, what a step asks of the device, what stays held. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { openModel } from '../../src/architecture.ts';
import { openBackend } from '../../src/backend.ts';
import { openCheckpoint } from '../../src/checkpoint.ts';
import { loadEngine } from '../../src/engine.ts';
import { openExecutor } from '../../src/executor.ts';
import { openKvCache } from '../../src/kv-cache.ts';
import { makePlan } from '../../src/plan.ts';
import { loadWeights, openBudget } from '../../src/weights.ts';
import { findSoftwareGpu } from '../fixture/software-gpu.ts';
import { temporaryFolder } from '../fixture/temporary-folder.ts';
import { changeKernels, watchDevice, watchLosses } from '../fixture/watch-device.ts';

const { skip } = await findSoftwareGpu();
const model = fileURLToPath(new URL('../../models/fable/fable-1m-q8_0.gguf', import.meta.url));
const recorded = JSON.parse(
  readFileSync(new URL('../fixture/recorded/fable-greedy.json', import.meta.url), 'utf8'),
) as { greedy: { model: string; promptIds: number[]; ids: number[] }[] };

/** Greedy ids after a prompt. */
async function greedyIds(path: string, backend: 'wasm' | 'webgpu', promptIds: number[], count: number) {
  const engine = await loadEngine(path, { backend, chunkRows: 64, contextLength: 256 });
  try {
    const session = await engine.session();
    return (await session.generate(promptIds, { maxTokens: count }).result()).tokens;
  } finally {
    await engine.close();
  }
}

test('greedy ids are those of wasm', { skip }, async () => {
  for (const { model: name, promptIds } of recorded.greedy) {
    const path = fileURLToPath(new URL(`../../models/fable/${name}`, import.meta.url));
    const [ours, theirs] = [
      await greedyIds(path, 'webgpu', promptIds, 24),
      await greedyIds(path, 'wasm', promptIds, 24),
    ];
    assert.deepEqual(ours, theirs, name);
  }
});

test('a step writes keys and values in place: only its block goes in, only its result is copied', {
  skip,
}, async () => {
  const engine = await loadEngine(model, { backend: 'webgpu', chunkRows: 64, contextLength: 256 });
  try {
    const session = await engine.session();
    const prompt = Array.from({ length: 40 }, (_, index) => 300 + index);
    await session.generate(prompt, { maxTokens: 1 }).result();
    const before = await engine.deviceWork();
    using watch = watchDevice();
    await session.generate([...prompt, 7], { maxTokens: 1 }).result();
    const { copies, writes, dispatches, submits } = watch;
    // A header, a row or two, the selected, a sequence, its pages; not what there is room for.
    const written = ((await engine.deviceWork())?.bytesWritten ?? 0) - (before?.bytesWritten ?? 0);
    assert.ok(written > 64 && written < 256, `${written} bytes`);
    assert.deepEqual(
      copies.map(({ target }) => target).filter((target) => target !== 'timestamps'),
      ['results'],
    );
    assert.deepEqual([...new Set(writes)], ['step']);
    // How often the device is given work depends on how long it takes.
    assert.ok(submits >= 1 && submits <= dispatches);
    // Embedding, six a layer, selection, head, arg-max.
    assert.ok(dispatches <= 1 + 7 * engine.description.layerCount + 3, `${dispatches} dispatches`);
  } finally {
    await engine.close();
  }
});

test('a page that is used again is cleared on the device, and saved as if it were new', {
  skip,
}, async () => {
  const engine = await loadEngine(model, { backend: 'webgpu', chunkRows: 64, contextLength: 256 });
  const saved = async (): Promise<Uint8Array> => {
    await using session = await engine.session();
    await session.generate([300, 301, 302], { maxTokens: 1 }).result();
    return session.save();
  };
  try {
    const fresh = await saved();
    await using other = await engine.session();
    await other
      .generate(
        Array.from({ length: 40 }, (_, index) => 400 + index),
        { maxTokens: 1 },
      )
      .result();
    await other.close();
    using watch = watchDevice();
    assert.ok(Buffer.from(await saved()).equals(fresh), 'the pages differ');
    assert.deepEqual([...new Set(watch.writes)], ['step']);
  } finally {
    await engine.close();
  }
});

test('twenty loads on one device leave no buffer behind', { skip }, async () => {
  const backend = await openBackend('webgpu');
  using watch = watchDevice();
  const checkpoint = await openCheckpoint(model);
  try {
    const opened = await openModel(checkpoint);
    const plan = makePlan(opened.build({ maxRows: 8, maxSelected: 1 }), backend.describe(), {
      cacheType: 'f16',
    });
    const budget = openBudget();
    for (let load = 0; load < 20; load++) {
      const weights = await loadWeights({ weights: plan.graph.weights, checkpoint, backend, budget });
      const cache = openKvCache({ backend, layout: plan.cache, contextLength: 128, budget });
      const executor = openExecutor({ backend, plan, weights, cache, budget });
      const sequence = cache.openSequence();
      if (load % 10 === 0) {
        const rows = [{ sequence, token: 5, position: 0, parent: -1 }];
        await executor.run({ rows, select: { kind: 'argmax', rows: [0] } });
      }
      await executor.close();
      cache.close();
      weights.close();
      assert.deepEqual(backend.memory(), { weightBytes: 0, regionBytes: 0 });
    }
    assert.equal(budget.reservedBytes, 0);
  } finally {
    await backend.close();
    await checkpoint.close();
  }
  assert.ok(watch.buffers.created > 400);
  // Those of checks that the device was closed in go a moment later.
  for (let turn = 0; watch.buffers.destroyed < watch.buffers.created && turn < 100; turn++) await sleep(10);
  assert.equal(watch.buffers.destroyed, watch.buffers.created);
});

type Moment = 'upload' | 'prompt' | 'decode' | 'read-back';

/** Greedy ids of two conversations, while the device is lost at each of these moments. */
async function idsWithLosses(
  moments: readonly Moment[],
): Promise<{ ids: readonly number[]; lost: Moment[] }> {
  const devices: GPUDevice[] = [];
  const lost: Moment[] = [];
  const lose = (moment: Moment): void => {
    if (!moments.includes(moment) || lost.includes(moment)) return;
    lost.push(moment);
    devices.at(-1)?.destroy();
  };
  let results = 0;
  using _ = watchLosses({
    onDevice: (device) => devices.push(device),
    onMap: ({ label }) => {
      if (label === 'results' && results++ === 8) lose('read-back');
    },
  });
  const engine = await loadEngine(model, {
    ...{ backend: 'webgpu', chunkRows: 16, contextLength: 256 },
    onProgress: ({ stage, loadedBytes }) => {
      if (stage === 'weights' && loadedBytes > 200_000) lose('upload');
    },
  });
  try {
    const session = await engine.session();
    const other = await engine.session();
    const prompt = Array.from({ length: 36 }, (_, index) => 300 + index);
    const ids: number[] = [];
    await other.generate(prompt.slice(9), { maxTokens: 1 }).result();
    for (const turn of [prompt, [...prompt, 11, 12]]) {
      const onPrompt = ({ doneRows }: { doneRows: number }) => doneRows > 16 && lose('prompt');
      for await (const { id } of session.generate(turn, { maxTokens: 5, decoder: 'plain', onPrompt })) {
        if (id !== undefined) ids.push(id);
        if (ids.length === 3) lose('decode');
      }
    }
    // This session did nothing when the device was lost.
    const last = await other.generate([...prompt.slice(9), 5], { maxTokens: 2 }).result();
    return { ids: [...ids, ...last.tokens], lost };
  } finally {
    await engine.close();
  }
}

test('a lost device comes back, and the ids are those of an undisturbed run', { skip }, async () => {
  const undisturbed = await idsWithLosses([]);
  assert.deepEqual(undisturbed.lost, []);
  const disturbed = await idsWithLosses(['upload', 'prompt', 'decode', 'read-back']);
  assert.deepEqual(disturbed.lost, ['upload', 'prompt', 'decode', 'read-back']);
  assert.deepEqual(disturbed.ids, undisturbed.ids);
});

/** Ids of a short text, what the engine says of its machine, and how many kernels were checked. */
async function idsWithFacts(cacheFolder: string) {
  using watch = watchDevice();
  const engine = await loadEngine(model, {
    ...{ backend: 'webgpu', chunkRows: 16, contextLength: 128, cacheFolder },
  });
  try {
    const session = await engine.session();
    const { tokens } = await session.generate([300, 301, 302], { maxTokens: 3 }).result();
    return { tokens, ...(await engine.machine()), checks: watch.checks };
  } finally {
    await engine.close();
  }
}

test('a refused kernel has another stand in, and both are known to the next engine on this adapter', {
  skip,
}, async () => {
  await using files = await temporaryFolder();
  const folder = files.path('facts');
  const right = await idsWithFacts(files.path('untouched'));
  assert.deepEqual(right.remarks, []);
  assert.ok(right.checks > 10, `${right.checks} checks`);
  {
    const isWrong = (label: string) => label === 'product e0m8 residual 1,1,1,false,1,false';
    using _ = changeKernels((code, label) =>
      isWrong(label) ? code.replaceAll('dot(', '1.01 * dot(') : code,
    );
    const wrong = await idsWithFacts(folder);
    assert.deepEqual(wrong.tokens, right.tokens);
    assert.match(wrong.remarks.join('\n'), /^kernel product .* is not used on this GPU: value \d+ is/);
  }
  // Kernels that were not ready when an engine closed are checked by the next.
  for (let load = 1; ; load++) {
    const next = await idsWithFacts(folder);
    assert.deepEqual(next.tokens, right.tokens);
    assert.equal(next.remarks.length, 1);
    if (next.checks === 0) break;
    assert.ok(load < 8, `${next.checks} checks`);
  }
});
