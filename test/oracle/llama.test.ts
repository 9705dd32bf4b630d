import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openOracle } from './llama.ts';

const model = fileURLToPath(new URL('../../models/fable/fable-4m-q8_0.gguf', import.meta.url));
const shared = new URL('../../../shared/models/fable/', import.meta.url);

test('the oracle continues, scores and tokenizes with the model of the repository', async (t) => {
  const oracle = await openOracle();
  if ('skip' in oracle) return t.skip(oracle.skip);
  await using closing = oracle;
  const prompt = await closing.tokenize(model, 'Once upon a time there was a king');
  const { ids, gaps } = await closing.greedy(model, [1, ...prompt], 8);
  assert.equal(ids.length, 8);
  const rows = await closing.logProbabilities(model, [1, ...prompt, ...ids]);
  assert.equal(rows.length, 1 + prompt.length + ids.length);
  for (const [index, id] of ids.entries()) {
    const row = rows[prompt.length + index] ?? new Float32Array();
    const best = row.indexOf(row.reduce((a, b) => Math.max(a, b)));
    if ((gaps[index] ?? 0) > 0.2) assert.equal(best, id);
    assert.ok(Math.abs(row.reduce((sum, value) => sum + Math.exp(value), 0) - 1) < 1e-4);
  }
  const [only] = await closing.logProbabilities(model, [1, ...prompt], [prompt.length]);
  assert.equal(only?.length, 4096);
  await assert.rejects(closing.logits('no-such-model.gguf', [1]));
});

test('the oracle repeats the greedy ids that were recorded from llama.cpp', async (t) => {
  if (!existsSync(shared)) return t.skip('no ../shared/models/fable here');
  const oracle = await openOracle();
  if ('skip' in oracle) return t.skip(oracle.skip);
  await using closing = oracle;
  type Recorded = { model: string; promptIds: number[]; ids: number[]; gaps: number[] };
  const { greedy } = JSON.parse(readFileSync(new URL('reference.json', shared), 'utf8')) as {
    greedy: Recorded[];
  };
  const first = greedy[0];
  assert.ok(first);
  const { ids } = await closing.greedy(fileURLToPath(new URL(first.model, shared)), first.promptIds, 12);
  assert.deepEqual(ids, first.ids.slice(0, 12));
});
