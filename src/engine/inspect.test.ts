import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { inspectModel } from './inspect.ts';

const fable = new URL('../../models/fable/fable-4m-q8_0.gguf', import.meta.url);

test('the header is told in full', async () => {
  const inspection = await inspectModel(fable);
  assert.equal(inspection.container, 'gguf');
  assert.deepEqual(inspection.problems, []);
  assert.equal(inspection.model?.architecture, 'llama');
  assert.equal(inspection.model?.parameterCount, inspection.parameterCount);
  assert.ok(inspection.bitsPerWeight > 8.5 && inspection.bitsPerWeight < 8.6);
  assert.deepEqual(
    inspection.formats.map(({ format }) => format),
    ['q8_0', 'f32'],
  );
  assert.equal(inspection.tensors.length, 38);
  assert.deepEqual(
    inspection.tensors.find(({ name }) => name === 'token_embd.weight'),
    { name: 'token_embd.weight', format: 'q8_0', shape: [4096, 256], byteLength: 4096 * 8 * 34 },
  );
  assert.equal(inspection.tokenizer?.vocabularySize, 4096);
  const pieces = inspection.metadata.find(({ key }) => key === 'tokenizer.ggml.tokens');
  assert.match(pieces?.value ?? '', /^\["<unk>", "<s>", "<\/s>", .*, …\] \(4096\)$/);
  assert.equal(inspection.plan, undefined);
});

test('a plan comes when asked for', async () => {
  const { plan } = await inspectModel(fable, { plan: 'auto' });
  assert.match(plan ?? '', /^segment 0 \(body\)/);
  assert.match(plan ?? '', /reuse saves \d+ bytes/);
});

test('what is not supported is a problem, what is damaged an error', async () => {
  const bytes = new Uint8Array(await readFile(fable));
  const text = Buffer.from(bytes.buffer);
  // The first `llama` is the value of general.architecture.
  text.write('gamma', text.indexOf('llama'));
  const { problems, model, tokenizer, tensors } = await inspectModel(bytes);
  assert.equal(problems.length, 1);
  assert.match(problems[0] ?? '', /gamma/);
  assert.equal(model, undefined);
  assert.equal(tokenizer?.vocabularySize, 4096);
  assert.equal(tensors.length, 38);
  await assert.rejects(inspectModel(bytes.subarray(0, 1e6)), { code: 'bad-file' });
});
