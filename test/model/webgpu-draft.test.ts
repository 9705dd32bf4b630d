/**
 * A GPU that is lost while a draft model writes ahead: it comes back, or wasm takes over; the draft begins anew, and the ids
 * are the same.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Engine, type LoadOptions, loadEngine } from '../../src/engine.ts';
import { findSoftwareGpu } from '../fixture/software-gpu.ts';
import { hideAdapters, refuseBuffers, watchLosses } from '../fixture/watch-device.ts';

const { skip } = await findSoftwareGpu();
const modelPath = (name: string): string =>
  fileURLToPath(new URL(`../../models/fable/${name}-q8_0.gguf`, import.meta.url));
const prompt = Array.from({ length: 20 }, (_, index) => 300 + index);

const load = (backend: 'webgpu' | 'wasm', onProgress?: LoadOptions['onProgress']): Promise<Engine> =>
  loadEngine(modelPath('fable-4m'), {
    ...{ backend, draft: modelPath('fable-1m'), decoder: 'tree', fallback: 'chain' },
    ...{ chunkRows: 16, contextLength: 256, ...(onProgress ? { onProgress } : {}) },
  });

/** Two turns of a conversation, the device being lost when so many results had been asked of it, and in the prompt. */
async function generate(losses: readonly number[]) {
  const devices: GPUDevice[] = [];
  let [results, lost, isWarm] = [0, 0, false];
  const lose = (): void => {
    lost++;
    devices.at(-1)?.destroy();
  };
  using _ = watchLosses({
    onDevice: (device) => devices.push(device),
    onMap: ({ label }) => {
      if (isWarm && label === 'results' && losses.includes(++results)) lose();
    },
  });
  await using engine = await load('webgpu');
  await using session = await engine.session();
  const options = { maxTokens: 12, ignoreEnd: true } as const;
  await session.generate([...prompt, 302], options).result();
  await session.truncate(0);
  isWarm = true;
  const onPrompt = ({ doneRows }: { doneRows: number }) => {
    if (doneRows === 16 && losses.length > 0) lose();
  };
  const first = await session.generate(prompt, { ...options, onPrompt }).result();
  const second = await session.generate([...prompt, ...first.tokens, 301], options).result();
  const { backend } = await engine.machine();
  return { ids: [...first.tokens, ...second.tokens], decoder: second.decoder, lost, backend };
}

test('losses in the prompt and amid drafting and verifying leave the ids as they are', {
  skip,
}, async () => {
  const undisturbed = await generate([]);
  // A chain of six is drafted for each verification, and by the thirtieth result all kernels were compiled anew.
  const disturbed = await generate([30]);
  assert.equal(disturbed.lost, 2);
  assert.deepEqual(disturbed.ids, undisturbed.ids);
  assert.equal(disturbed.backend, 'webgpu');
  assert.ok(disturbed.decoder.accepted > 0 && disturbed.decoder.accepted === undisturbed.decoder.accepted);
});

/** Greedy ids of two turns; at the given number of tokens of the first one the GPU goes and no other is found. */
async function generateOn(engine: Engine, devices: readonly GPUDevice[], lossAfter?: number) {
  await using session = await engine.session();
  const options = { maxTokens: 16, ignoreEnd: true } as const;
  const first: number[] = [];
  let adapters: Disposable | undefined;
  for await (const { id } of session.generate(prompt, options)) {
    if (id === undefined) continue;
    first.push(id);
    if (first.length !== lossAfter) continue;
    adapters = hideAdapters();
    devices.at(-1)?.destroy();
  }
  adapters?.[Symbol.dispose]();
  const second = await session.generate([...prompt, ...first, 301], options).result();
  return { ids: [...first, ...second.tokens], accepted: second.decoder.accepted };
}

test('wasm takes over with the draft, in the middle of a text and with a session beside it', {
  skip,
}, async () => {
  const devices: GPUDevice[] = [];
  using _ = watchLosses({ onDevice: (device) => devices.push(device) });
  await using own = await load('wasm');
  const undisturbed = await generateOn(own, []);
  assert.ok(undisturbed.accepted > 0);
  await using engine = await load('webgpu');
  await using beside = await engine.session();
  const begun = await beside.generate(prompt, { maxTokens: 5, ignoreEnd: true }).result();
  const disturbed = await generateOn(engine, devices, 7);
  assert.deepEqual(disturbed, undisturbed);
  const { backend, remarks } = await engine.machine();
  assert.equal(backend, 'wasm');
  assert.match(remarks.join('\n'), /^wasm took over: The GPU was lost .*no adapter/);
  const rest = await beside
    .generate([...prompt, ...begun.tokens], { maxTokens: 11, ignoreEnd: true })
    .result();
  assert.deepEqual([...begun.tokens, ...rest.tokens], undisturbed.ids.slice(0, 16));
  const [held, ofWasm] = [await engine.memory(), await own.memory()];
  assert.equal(held.weightsBytes, ofWasm.weightsBytes);
});

/** By how many buffers of weights were asked for before, and how many of them are the draft's once that is loaded. */
for (const [moment, isThen] of [
  ['of the draft', (before: number) => before === 3],
  ['of the model', (before: number, ofDraft: number) => before === ofDraft + 3],
] as const) {
  test(`without room for the weights ${moment} wasm takes over both`, { skip }, async () => {
    await using own = await load('wasm');
    const undisturbed = await generateOn(own, []);
    let [asked, ofDraft] = [0, Number.POSITIVE_INFINITY];
    using _ = refuseBuffers((label) => label === 'weights' && isThen(asked++, ofDraft));
    await using engine = await load('webgpu', ({ stage }) => {
      if (stage === 'weights') ofDraft = Math.min(ofDraft, asked);
    });
    assert.deepEqual(await generateOn(engine, []), undisturbed);
    const { backend, remarks } = await engine.machine();
    assert.equal(backend, 'wasm');
    assert.match(remarks.join('\n'), /^wasm took over: .*The GPU has no room for \d+ bytes of weights/);
  });
}
