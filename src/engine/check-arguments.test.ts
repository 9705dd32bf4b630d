import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Engine } from '../index.ts';

const model = fileURLToPath(new URL('../../models/fable/fable-1m-q8_0.gguf', import.meta.url));

/** As a program without types would hand it in. */
const untyped = (value: unknown): never => value as never;

test('a wrong value is a NearfieldError of one line, and the session goes on', async () => {
  await using engine = await Engine.load(model, { threads: 1 });
  await using session = await engine.session();
  const run =
    (prompt: unknown, options: unknown = { maxTokens: 1 }) =>
    async () =>
      session.generate(untyped(prompt), untyped(options)).result();
  const cases: [() => Promise<unknown>, RegExp][] = [
    [run(undefined), /A prompt is .*, not undefined/],
    [run(null), /not null/],
    [run({ role: 'user', content: 'x' }), /not object/],
    [run([1, 'two']), /list of other things/],
    [run([{ role: 'user', content: 5 }]), /role and content/],
    [run([{ content: 'x' }]), /role and content/],
    [run('x', null), /Options are an object, not null/],
    [run('x', { stop: 'end' }), /stop is an array/],
    [run('x', { stop: [5] }), /stop is an array/],
    [run('x', { logitBias: { 5: 1 } }), /logitBias is a Map/],
    [run('x', { signal: 'x' }), /AbortSignal/],
    [run('x', { maxTokens: '5' }), /maxTokens/],
    [() => session.score([1, 2, 3], { first: -1 }), /first is -1/],
    [() => engine.tokenize(untyped(5)), /string, not number/],
    [() => engine.render(untyped('x')), /Messages are/],
    [() => Engine.load(model, untyped({ cacheType: 'q4' })), /cacheType is one of f32, .*, not q4/],
    [() => Engine.load(model, untyped({ decoder: 'x' })), /decoder is one of plain, .*, not x/],
    [() => Engine.load(model, untyped(null)), /Options are an object/],
  ];
  for (const [attempt, message] of cases) {
    await assert.rejects(attempt, { name: 'NearfieldError', code: 'bad-argument', message });
  }
  assert.equal((await session.generate('Once', { maxTokens: 2 }).result()).tokens.length, 2);
  const bytes = untyped(Int32Array.of(1, 5));
  assert.equal((await session.generate(bytes, { maxTokens: 2 }).result()).tokens.length, 2);
});
