import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTinyModel } from '../../test/fixture/tiny-model.ts';
import type { BackendName } from '../backend.ts';
import { decodeRow } from '../format.ts';
import { collectImportance } from './collect-importance.ts';

const windows = [0, 1].map((window) => Array.from({ length: 150 }, (_, i) => (i * 37 + 11 * window) % 280));

async function collect(backend: BackendName) {
  const checkpoint = await openTinyModel('llama');
  return collectImportance(checkpoint, { windows, dataset: 'made up', backend, threads: 2 });
}

test('the sums are of what comes to each product, row by row', async () => {
  const { entries, chunkCount, chunkSize } = await collect('reference');
  assert.deepEqual([chunkCount, chunkSize, entries.size], [2, 150, 3 * 7]);
  for (const [name, { sums, counts }] of entries) {
    assert.deepEqual([...counts], [300], name);
    assert.equal(sums.length, name.includes('ffn_down') ? 96 : 64, name);
  }
  // To the first layer's projections come the embeddings, normalised.
  const checkpoint = await openTinyModel('llama');
  const floats = async (name: string): Promise<Float32Array> => {
    const entry = checkpoint.tensors.get(name);
    assert.ok(entry);
    const [bytes, values] = [new Uint8Array(entry.byteLength), new Float32Array(entry.byteLength / 4)];
    await checkpoint.read(entry, 0, bytes);
    decodeRow(entry.format, bytes, 0, values, 0, values.length);
    return values;
  };
  const [embedding, norm] = [await floats('token_embd.weight'), await floats('blk.0.attn_norm.weight')];
  const expected = new Float64Array(64);
  for (const id of windows.flat()) {
    const row = embedding.subarray(id * 64, (id + 1) * 64);
    const meanSquare = row.reduce((sum, value) => sum + value * value, 0) / 64;
    row.forEach((value, i) => {
      expected[i] = (expected[i] ?? 0) + (value * (norm[i] ?? 0)) ** 2 / (meanSquare + 1e-5);
    });
  }
  const { sums } = entries.get('blk.0.attn_q.weight') ?? { sums: new Float32Array() };
  for (const [i, value] of expected.entries()) {
    assert.ok(Math.abs((sums[i] ?? 0) / value - 1) < 1e-4, `column ${i}`);
  }
});

test('the fast backend collects what the reference does', async () => {
  const [exact, fast] = [await collect('reference'), await collect('wasm')];
  for (const [name, { sums }] of exact.entries) {
    const other = fast.entries.get(name)?.sums ?? new Float32Array();
    const total = sums.reduce((sum, value) => sum + value, 0);
    const difference = sums.reduce((sum, value, i) => sum + Math.abs(value - (other[i] ?? 0)), 0);
    assert.ok(difference < 1e-3 * total, `${name}: ${difference} of ${total}`);
  }
});
