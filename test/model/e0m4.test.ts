/** A trained model in E0M4: what its weights lose, and the wasm kernels beside the reference. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { openCheckpoint } from '../../src/checkpoint.ts';
import { formatByName } from '../../src/format.ts';
import { meanDivergence } from '../fixture/compare-logits.ts';
import { convertedBytes } from '../fixture/converted.ts';
import { feedChain, type Logits, openRunner } from '../fixture/model-runner.ts';

const model = new URL('../../models/fable/fable-4m-q8_0.gguf', import.meta.url);
const recorded = new URL('../fixture/recorded/fable-greedy.json', import.meta.url);

async function logitsOf(bytes: Uint8Array, backend: 'reference' | 'wasm'): Promise<Logits[]> {
  const [first] = JSON.parse(readFileSync(recorded, 'utf8')).greedy;
  const ids: number[] = [...first.promptIds, ...first.ids];
  await using runner = await openRunner(bytes, { backend, threads: 1 });
  return await feedChain(runner, runner.cache.openSequence(), ids);
}

test('the model in the repository keeps its distributions in E0M4', async () => {
  const bytes = readFileSync(model);
  const truth = await logitsOf(bytes, 'wasm');
  const checkpoint = await openCheckpoint(bytes);
  const divergences: number[] = [];
  for (const name of ['e0m4_32', 'e0m4_64', 'e0m4_128']) {
    const converted = await convertedBytes(checkpoint, formatByName(name));
    const rows = await logitsOf(converted, 'wasm');
    const rounding = meanDivergence(rows, await logitsOf(converted, 'reference'));
    assert.ok(rounding < 1e-3, `${name}: wasm is ${rounding} from the reference`);
    divergences.push(meanDivergence(rows, truth));
  }
  const [small = 1, middle = 1, large = 1] = divergences;
  assert.ok(small < middle && middle < large && large < 0.1, `mean divergences ${divergences.join(', ')}`);
});
