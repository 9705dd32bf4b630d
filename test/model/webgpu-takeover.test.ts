/** A GPU that is lost for good, has no room or computes wrongly: wasm takes over, says why, and goes on with the same ids. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Engine, loadEngine } from '../../src/engine.ts';
import { findSoftwareGpu } from '../fixture/software-gpu.ts';
import { temporaryFolder } from '../fixture/temporary-folder.ts';
import {
  changeKernels,
  hideAdapters,
  refuseBuffers,
  watchDevice,
  watchLosses,
} from '../fixture/watch-device.ts';

const { skip } = await findSoftwareGpu();
const model = fileURLToPath(new URL('../../models/fable/fable-1m-q8_0.gguf', import.meta.url));
const prompt = Array.from({ length: 20 }, (_, index) => 300 + index);
const count = 6;

const load = (backend: 'webgpu' | 'wasm', cacheFolder?: string): Promise<Engine> =>
  loadEngine(model, {
    ...{ backend, chunkRows: 16, contextLength: 512 },
    ...(cacheFolder === undefined ? {} : { cacheFolder }),
  });

/** Greedy ids after the prompt, `onToken` being called with how many there are. */
async function idsOf(engine: Engine, onToken: (done: number) => void = () => {}): Promise<number[]> {
  const session = await engine.session();
  const ids: number[] = [];
  for await (const { id } of session.generate(prompt, { maxTokens: count, decoder: 'plain' })) {
    if (id !== undefined) ids.push(id);
    onToken(ids.length);
  }
  await session.close();
  return ids;
}

async function expectedIds(): Promise<number[]> {
  const engine = await load('wasm');
  try {
    return await idsOf(engine);
  } finally {
    await engine.close();
  }
}

test('where the adapter is gone wasm takes over in the middle of a text', { skip }, async () => {
  const devices: GPUDevice[] = [];
  using _ = watchLosses({ onDevice: (device) => devices.push(device) });
  const engine = await load('webgpu');
  try {
    const other = await engine.session();
    const before = await other.generate(prompt, { maxTokens: 3 }).result();
    let adapters: Disposable | undefined;
    const ids = await idsOf(engine, (done) => {
      if (done !== 3) return;
      adapters = hideAdapters();
      devices.at(-1)?.destroy();
    });
    adapters?.[Symbol.dispose]();
    assert.deepEqual(ids, await expectedIds());
    const { backend, remarks } = await engine.machine();
    assert.equal(backend, 'wasm');
    assert.match(remarks.join('\n'), /^wasm took over: The GPU was lost .*did not come back: .*no adapter/);
    // A session that did nothing meanwhile, and a copy of it.
    const all = [...prompt, ...before.tokens];
    const copy = await other.fork();
    const rest = await other.generate(all, { maxTokens: 3 }).result();
    assert.deepEqual([...before.tokens, ...rest.tokens], ids);
    assert.deepEqual((await copy.generate(all, { maxTokens: 3 }).result()).tokens, rest.tokens);
  } finally {
    await engine.close();
  }
});

test('a device that is lost again as soon as it is back is given up', { skip }, async () => {
  const devices: GPUDevice[] = [];
  using _ = watchLosses({ onDevice: (device) => devices.push(device) });
  const engine = await load('webgpu');
  try {
    let losses: Disposable | undefined;
    const ids = await idsOf(engine, (done) => {
      if (done !== 2) return;
      losses = watchLosses({ onDevice: (device) => void setTimeout(() => device.destroy(), 1) });
      devices.at(-1)?.destroy();
    });
    losses?.[Symbol.dispose]();
    assert.deepEqual(ids, await expectedIds());
    assert.match((await engine.machine()).remarks.join('\n'), /^wasm took over: The GPU was lost/);
  } finally {
    await engine.close();
  }
});

for (const [moment, isThen] of [
  ['while weights come', (label: string, seen: number) => label === 'weights' && seen === 5],
  ['when the cache grows', (label: string, seen: number) => label === 'KV cache' && seen === 1],
] as const) {
  test(`without room ${moment} wasm takes over, and nothing stays on the GPU`, { skip }, async () => {
    using watch = watchDevice();
    const seen = new Map<string, number>();
    let refused = 0;
    using _ = refuseBuffers((label) => {
      const before = seen.get(label) ?? 0;
      seen.set(label, before + 1);
      if (!isThen(label, before)) return false;
      refused++;
      return true;
    });
    const engine = await load('webgpu');
    try {
      const ids = await idsOf(engine);
      for (let turn = 0; refused === 0 && turn < 100; turn++) {
        const session = await engine.session();
        await session.generate([300], { maxTokens: 1 }).result();
      }
      assert.deepEqual(await idsOf(engine), ids);
      assert.deepEqual(ids, await expectedIds());
      const { backend, remarks } = await engine.machine();
      assert.equal(refused, 1, `${[...seen]}`);
      assert.equal(backend, 'wasm');
      assert.match(remarks.join('\n'), /^wasm took over: The GPU has no room for \d+ bytes of /);
    } finally {
      await engine.close();
    }
    assert.equal(watch.buffers.destroyed, watch.buffers.created);
  });
}

test('where no kernel is right wasm takes over', { skip }, async () => {
  await using files = await temporaryFolder();
  using _ = changeKernels((code, label) =>
    label.startsWith('rope') || label.startsWith('cache-write')
      ? code.replaceAll('pageOf(step', 'p.layer + pageOf(step').replaceAll('own * turn.x', 'own * turn.y')
      : code,
  );
  const engine = await load('webgpu', files.path('facts'));
  try {
    assert.deepEqual(await idsOf(engine), await expectedIds());
    const { remarks } = await engine.machine();
    assert.match(remarks.join('\n'), /kernel cache-write .* is not used/);
    assert.match(remarks.join('\n'), /wasm took over: The GPU's driver computes cache-write .* wrongly/);
  } finally {
    await engine.close();
  }
});
