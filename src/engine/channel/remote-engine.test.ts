/** The engine worker as a thread of Node: what a page sees, without a browser. */
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from '../../../test/fixture/temporary-folder.ts';
import { loadLocalEngine } from '../load-local.ts';
import { loadRemoteEngine } from './remote-engine.ts';

const root = new URL('../../../', import.meta.url);
const model = fileURLToPath(new URL('models/fable/fable-1m-q8_0.gguf', root));
const skip = existsSync(new URL('dist/kernels-plain-shared.wasm', root))
  ? false
  : 'no kernels in dist/: npm run build';

test('the tokens of an engine that is here', { skip }, async () => {
  await using local = await loadLocalEngine(model, { threads: 1 });
  await using here = await local.session();
  const options = { maxTokens: 30, temperature: 0.8, seed: 7, logprobs: 2, logitBias: new Map([[5, -100]]) };
  const expected = await here.generate('Once upon a time', options).result();
  const stages: string[] = [];
  await using remote = await loadRemoteEngine(model, {
    threads: 2,
    contextLength: 256,
    onProgress: ({ stage }) => stages.push(stage),
  });
  await using there = await remote.session();
  const generation = there.generate('Once upon a time', options);
  for await (const token of generation) if (token.id !== undefined) assert.equal(token.top?.length, 2);
  const { tokens, text, promptTokens } = await generation.result();
  const { tokens: ids, text: words, promptTokens: given } = expected;
  assert.deepEqual({ tokens, text, promptTokens }, { tokens: ids, text: words, promptTokens: given });
  const { loadMs, threads, contextLength, ...same } = remote.description;
  const { loadMs: _, threads: one, contextLength: trained, ...description } = local.description;
  assert.deepEqual(same, description);
  assert.deepEqual({ threads, contextLength, one }, { threads: 2, contextLength: 256, one: 1 });
  assert.ok(loadMs > 0 && trained > 0);
  assert.equal(stages.at(-1), 'ready');
  assert.deepEqual(await remote.tokenize('A tailor'), await local.tokenize('A tailor'));
  assert.equal(
    await remote.render([{ role: 'user', content: 'A tale' }]),
    await local.render([{ role: 'user', content: 'A tale' }]),
  );
});

test('a draft goes along, provisional tokens come back, and are no part of what was given', {
  skip,
}, async () => {
  const draft = fileURLToPath(new URL('models/fable/fable-1m-q8_0.gguf', root));
  const target = fileURLToPath(new URL('models/fable/fable-4m-q8_0.gguf', root));
  await using remote = await loadRemoteEngine(target, { draft, decoder: 'tree', fallback: 'adaptive' });
  assert.match(remote.description.draft?.source ?? '', /fable-1m/);
  await using session = await remote.session();
  const plain = await session.generate('Once upon a time', { maxTokens: 30, decoder: 'plain' }).result();
  let provisional = 0;
  const generation = session.generate('Once upon a time', { maxTokens: 30, provisional: true });
  for await (const token of generation) provisional += token.provisional ? 1 : 0;
  const { tokens, text, decoder } = await generation.result();
  assert.deepEqual({ tokens, text }, { tokens: plain.tokens, text: plain.text });
  assert.ok(provisional > 5 && (decoder.speculation?.draftPasses ?? 0) > 0);
  const left = session.generate('Once upon a time', { maxTokens: 30, provisional: true });
  let seen = 0;
  for await (const { id, provisional: guess } of left) if (id !== undefined && !guess && ++seen === 5) break;
  assert.deepEqual((await left.result()).tokens, plain.tokens.slice(0, 5));
  assert.deepEqual(await session.tokens(), [...plain.promptTokens, ...plain.tokens.slice(0, 5)]);
});

test('a worker that starts and then is stuck is ended, and another one loads', { skip }, async () => {
  await using folder = await temporaryFolder();
  const [engineWorker, mark] = [folder.path('worker.mjs'), folder.path('started')];
  const script = new URL('../engine-worker.ts', import.meta.url).href;
  writeFileSync(
    engineWorker,
    `import { existsSync, writeFileSync } from 'node:fs';
     import { parentPort } from 'node:worker_threads';
     if (existsSync(${JSON.stringify(mark)})) await import(${JSON.stringify(script)});
     else {
       writeFileSync(${JSON.stringify(mark)}, '');
       parentPort.postMessage({ kind: 'ready' });
       Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
     }`,
  );
  await using remote = await loadRemoteEngine(model, { assets: { engineWorker }, threads: 1 });
  assert.ok(existsSync(mark));
  await using session = await remote.session();
  assert.equal((await session.generate('Once', { maxTokens: 3 }).result()).tokens.length, 3);
});

test('failures are typed and name what failed', { skip }, async () => {
  const cases = [
    [
      { assets: { engineWorker: 'none/engine-worker.js' } },
      'backend',
      /none\/engine-worker\.js.*assets\.engineWorker/,
    ],
    [{ memoryBudget: 1000 }, 'out-of-budget', /1,?000/],
    [{ backend: 'none' as never }, 'bad-argument', /none/],
    [{ signal: AbortSignal.abort() }, 'aborted', /Aborted/],
  ] as const;
  for (const [options, code, message] of cases) {
    await assert.rejects(loadRemoteEngine(model, options), { name: 'NearfieldError', code, message });
  }
  await assert.rejects(loadRemoteEngine('none.gguf', {}), { code: 'not-found', message: /none\.gguf/ });
});

test('an abort while loading ends the worker', { skip }, async () => {
  const controller = new AbortController();
  const load = loadRemoteEngine(model, { signal: controller.signal, onProgress: () => controller.abort() });
  await assert.rejects(load, { code: 'aborted' });
});
