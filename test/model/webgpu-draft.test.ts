/** A GPU that is lost while a draft model writes ahead: it comes back, the draft begins anew, and the ids are the same. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadEngine } from '../../src/engine.ts';
import { findSoftwareGpu } from '../fixture/software-gpu.ts';
import { watchLosses } from '../fixture/watch-device.ts';

const { skip } = await findSoftwareGpu();
const modelPath = (name: string): string =>
  fileURLToPath(new URL(`../../models/fable/${name}-q8_0.gguf`, import.meta.url));
const prompt = Array.from({ length: 20 }, (_, index) => 300 + index);

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
  await using engine = await loadEngine(modelPath('fable-4m'), {
    ...{ backend: 'webgpu', draft: modelPath('fable-1m'), decoder: 'tree', fallback: 'chain' },
    ...{ chunkRows: 16, contextLength: 256 },
  });
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
