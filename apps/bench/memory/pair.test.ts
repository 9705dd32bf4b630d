import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openCheckpoint } from '../../../src/checkpoint.ts';
import { decodeRow, formatByName } from '../../../src/format.ts';
import type { ModelShape } from '../model-shapes.ts';
import { writeRandomModel } from '../random-model.ts';
import { writeAsQ41, writeFirstLayers } from './pair.ts';

const shape: ModelShape = {
  ...{ architecture: 'llama', layers: 3, hidden: 256, feedForward: 512, heads: 4, keyValueHeads: 2 },
  ...{ vocabulary: 512, context: 128, tokenizer: 'spm' },
};

async function writeTarget(t: TestContext): Promise<{ folder: string; target: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'nearfield-pair-'));
  t.after(() => rm(folder, { recursive: true }));
  const target = join(folder, 'target.gguf');
  const gains = { layer: (layer: number) => (layer === 0 ? 1 : 0.1), head: 2 };
  await writeRandomModel(target, { shape, format: formatByName('q4_0'), gains });
  return { folder, target };
}

async function valuesOf(path: string): Promise<Map<string, Float32Array>> {
  const checkpoint = await openCheckpoint(path);
  const values = new Map<string, Float32Array>();
  for (const entry of checkpoint.tensors.values()) {
    const bytes = new Uint8Array(entry.byteLength);
    await checkpoint.read(entry, 0, bytes);
    const decoded = new Float32Array(entry.shape.reduce((product, size) => product * size, 1));
    decodeRow(entry.format, bytes, 0, decoded, 0, decoded.length);
    values.set(entry.name, decoded);
  }
  await checkpoint.close();
  return values;
}

/** Both zeros are one number. */
function expectSame(found: Float32Array | undefined, expected: Float32Array | undefined, name: string): void {
  assert.equal(found?.length, expected?.length, name);
  const place = (found ?? []).findIndex((value: number, index: number) => value !== expected?.[index]);
  assert.equal(place, -1, `${name}, value ${place}`);
}

function deviationOf(values: Float32Array = new Float32Array()): number {
  let squares = 0;
  for (const value of values) squares += value * value;
  return Math.sqrt(squares / values.length);
}

test('the later layers add less, and the draft has the first ones, the same head and embedding', async (t) => {
  const { folder, target } = await writeTarget(t);
  const draft = join(folder, 'draft.gguf');
  await writeFirstLayers(target, draft, 1);
  const [whole, part] = [await valuesOf(target), await valuesOf(draft)];
  for (const block of ['attn_output', 'ffn_down']) {
    const ratio =
      deviationOf(whole.get(`blk.1.${block}.weight`)) / deviationOf(whole.get(`blk.0.${block}.weight`));
    assert.ok(Math.abs(ratio - 0.1) < 0.01, `${block} ${ratio}`);
  }
  assert.deepEqual(
    [...part.keys()].sort(),
    [...whole.keys()].filter((name) => !/^blk\.[12]\./.test(name)).sort(),
  );
  for (const [name, values] of part) expectSame(values, whole.get(name), name);
  const opened = await openCheckpoint(draft);
  assert.equal(opened.metadata.number('llama.block_count'), 1);
  await opened.close();
});

test('the same weights in Q4_1 are the same numbers', async (t) => {
  const { folder, target } = await writeTarget(t);
  const wide = join(folder, 'wide.gguf');
  await writeAsQ41(target, wide);
  const [narrow, widened] = [await valuesOf(target), await valuesOf(wide)];
  assert.equal(widened.size, narrow.size);
  for (const [name, values] of narrow) expectSame(widened.get(name), values, name);
  const opened = await openCheckpoint(wide);
  assert.equal(opened.tensors.get('output.weight')?.format, formatByName('q4_1'));
  await opened.close();
});
