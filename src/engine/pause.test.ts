/** Paused sessions, here and in an engine worker: nothing is computed, and what follows is what would have come anyway. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { GenerateOptions, Session } from '../engine.ts';
import { loadRemoteEngine } from './channel/remote-engine.ts';
import { loadLocalEngine } from './load-local.ts';

const root = new URL('../../', import.meta.url);
const model = fileURLToPath(new URL('models/fable/fable-1m-q8_0.gguf', root));
const skip = existsSync(new URL('dist/kernels-plain-shared.wasm', root))
  ? false
  : 'no kernels in dist/: npm run build';

const prompt =
  'Once upon a time there was an old king who had three sons, and the youngest of them was a tailor.';
const options = { maxTokens: 24, temperature: 0.8, seed: 7, logprobs: 2, ignoreEnd: true } as const;
const quietMs = 40;

/** An engine whose prompts take many passes, and the number of programs it has run. */
async function openCounting() {
  let programs = 0;
  const onTrace = () => void programs++;
  const engine = await loadLocalEngine(model, { threads: 2, chunkRows: 4, contextLength: 512, onTrace });
  return { engine, programs: () => programs };
}

async function finish(session: Session, more: GenerateOptions = {}) {
  const items: { id: number | undefined; logprob: number | undefined }[] = [];
  const generation = session.generate(prompt, { ...options, ...more });
  for await (const { id, logprob } of generation) items.push({ id, logprob });
  return { items, ...(await generation.result()) };
}

test('nothing is computed between pause and resume, and the bits are the same', { skip }, async () => {
  const { engine, programs } = await openCounting();
  await using _ = engine;
  await using undisturbed = await engine.session();
  const expected = await finish(undisturbed);
  await using session = await engine.session();
  let still = 0;
  const rest = async (): Promise<void> => {
    await session.pause();
    const before = programs();
    await sleep(quietMs);
    assert.equal(programs(), before);
    still++;
    await session.resume();
  };
  const rests: Promise<void>[] = [];
  const onPrompt = ({ doneRows }: { doneRows: number }): void => {
    if (doneRows === 8) rests.push(rest());
  };
  const items: typeof expected.items = [];
  const generation = session.generate(prompt, { ...options, onPrompt });
  for await (const { id, logprob } of generation) {
    items.push({ id, logprob });
    if (items.length === 5) rests.push(rest());
  }
  await Promise.all(rests);
  assert.equal(still, 2);
  assert.deepEqual(items, expected.items);
  const scores = await undisturbed.score(expected.tokens);
  const scoring = session.score(expected.tokens);
  await rest();
  assert.deepEqual(await scoring, scores);
});

test('a generation of a paused session waits from the start; others go on', { skip }, async () => {
  const { engine, programs } = await openCounting();
  await using _ = engine;
  await using paused = await engine.session();
  await using other = await engine.session();
  await paused.pause();
  const waiting = finish(paused);
  await sleep(quietMs);
  assert.equal(programs(), 0);
  const done = await finish(other);
  await paused.resume();
  assert.deepEqual((await waiting).tokens, done.tokens);
});

test('aborting and closing end what is paused, in a prompt and in a text', { skip }, async () => {
  const { engine } = await openCounting();
  await using _ = engine;
  for (const when of ['prompt', 'text'] as const) {
    for (const how of ['abort', 'close'] as const) {
      const session = await engine.session();
      const controller = new AbortController();
      const end = async (): Promise<void> => {
        await session.pause();
        if (how === 'abort') controller.abort();
        else await session.close();
      };
      const generation = session.generate(prompt, {
        ...options,
        signal: controller.signal,
        onPrompt: ({ doneRows }) => {
          if (when === 'prompt' && doneRows === 8) void end();
        },
      });
      const read = async (): Promise<string> => {
        let count = 0;
        for await (const token of generation) if (token.id !== undefined && ++count === 3) void end();
        return (await generation.result()).finish;
      };
      if (when === 'prompt') await assert.rejects(read(), { code: 'aborted' });
      else assert.equal(await read(), 'aborted');
      await session.close();
      await assert.rejects(session.pause(), { code: 'bad-argument', message: /closed/ });
    }
  }
});

test('what an aborted prompt has computed is not computed again', { skip }, async () => {
  const { engine } = await openCounting();
  await using _ = engine;
  await using session = await engine.session();
  await using fresh = await engine.session();
  const controller = new AbortController();
  const onPrompt = ({ doneRows }: { doneRows: number }) => {
    if (doneRows === 12) controller.abort();
  };
  await assert.rejects(finish(session, { onPrompt, signal: controller.signal }), { code: 'aborted' });
  const again = await finish(session);
  assert.equal(again.timings.cachedRows, 11);
  assert.deepEqual(again.items, (await finish(fresh)).items);
});

test('the same in an engine worker', { skip }, async () => {
  await using engine = await loadRemoteEngine(model, { threads: 1, chunkRows: 4, contextLength: 512 });
  await using session = await engine.session();
  const expected = await finish(session);
  await using again = await engine.session();
  await again.pause();
  let rowsDone = 0;
  const onPrompt = ({ doneRows }: { doneRows: number }) => {
    rowsDone = doneRows;
  };
  const waiting = finish(again, { onPrompt });
  await sleep(quietMs);
  assert.equal(rowsDone, 0);
  await again.resume();
  assert.deepEqual((await waiting).items, expected.items);
  await again.pause();
  const controller = new AbortController();
  const aborted = again.generate(`${prompt} One day`, { ...options, signal: controller.signal }).result();
  controller.abort();
  await assert.rejects(aborted, { code: 'aborted' });
  await again.close();
  await assert.rejects(again.resume(), { code: 'bad-argument', message: /closed/ });
});
