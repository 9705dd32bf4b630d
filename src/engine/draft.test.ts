/** An engine with a draft: which drafts are taken, what they hold, what is shown while the model verifies. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { randomVocabulary } from '../../apps/bench/random-vocabulary.ts';
import { temporaryFolder } from '../../test/fixture/temporary-folder.ts';
import { tinyModelBytes, tinyShapes } from '../../test/fixture/tiny-model.ts';
import type { GgufValue } from '../checkpoint.ts';
import type { GeneratedToken, LoadOptions, Session } from '../engine.ts';
import { formatByName } from '../format.ts';
import { loadLocalEngine } from './load-local.ts';

const modelPath = (name: string): string =>
  fileURLToPath(new URL(`../../models/fable/${name}.gguf`, import.meta.url));
const [fable, fableDraft] = [modelPath('fable-4m-q8_0'), modelPath('fable-1m-q8_0')];
const prompt = 'Once upon a time there was';

const openFable = (options: LoadOptions = {}) =>
  loadLocalEngine(fable, {
    draft: fableDraft,
    decoder: 'tree',
    fallback: 'adaptive',
    threads: 1,
    ...options,
  });

/** A vocabulary of the tiny llama's pieces, changed. */
function pieces(change: (tokens: string[], kinds: number[]) => void): ReadonlyMap<string, GgufValue> {
  const metadata = randomVocabulary(tinyShapes.llama);
  const tokens = [...(metadata.get('tokenizer.ggml.tokens') as string[])];
  const kinds = [...(metadata.get('tokenizer.ggml.token_type') as Int32Array)];
  change(tokens, kinds);
  return new Map<string, GgufValue>([
    ['tokenizer.ggml.tokens', tokens],
    ['tokenizer.ggml.token_type', Int32Array.from(kinds)],
    ['tokenizer.ggml.scores', new Float32Array(tokens.length)],
  ]);
}

test('the same model in a smaller format, or with a padded vocabulary, is a draft; the text stays as it is', async () => {
  const model = await tinyModelBytes('llama');
  const padded = await tinyModelBytes('llama', {
    shape: { ...tinyShapes.llama, vocabulary: 304 },
    metadata: pieces((tokens, kinds) => {
      for (let id = tokens.length; id < 304; id++) {
        tokens.push(`[PAD${id}]`);
        kinds.push(5);
      }
    }),
  });
  const small = await tinyModelBytes('llama', { format: formatByName('q8_0') });
  await using plain = await loadLocalEngine(model, { backend: 'reference' });
  await using session = await plain.session();
  const options = { maxTokens: 30, temperature: 0.8, seed: 4, ignoreEnd: true };
  const { tokens } = await session.generate([5, 9, 120], options).result();
  for (const draft of [small, padded]) {
    await using engine = await loadLocalEngine(model, { backend: 'reference', draft, decoder: 'tree' });
    await using drafted = await engine.session();
    const result = await drafted.generate([5, 9, 120], options).result();
    assert.deepEqual(result.tokens, tokens);
    assert.ok((result.decoder.speculation?.draftPasses ?? 0) > 0);
  }
});

test('a draft with another vocabulary is refused, and says where it differs', async () => {
  const model = await tinyModelBytes('llama');
  const drafts: [Parameters<typeof pieces>[0], RegExp][] = [
    [(tokens) => tokens.splice(270, 1, '▁other'), /token 270 is "▁other" there and "." here/],
    [(tokens, kinds) => [tokens.push('▁more'), kinds.push(1)], /token 288, "▁more", is only there/],
    [(tokens, kinds) => [tokens.pop(), kinds.pop()], /token 287, ".*", is only here/],
  ];
  for (const [change, message] of drafts) {
    const metadata = pieces(change);
    const vocabulary = (metadata.get('tokenizer.ggml.tokens') as string[]).length;
    const draft = await tinyModelBytes('llama', { shape: { ...tinyShapes.llama, vocabulary }, metadata });
    await assert.rejects(loadLocalEngine(model, { backend: 'reference', draft }), {
      code: 'bad-argument',
      message,
    });
  }
  const other = await tinyModelBytes('llama', {
    metadata: new Map<string, GgufValue>([['tokenizer.ggml.eos_token_id', { type: 'uint32', value: 5 }]]),
  });
  await assert.rejects(loadLocalEngine(model, { backend: 'reference', draft: other }), {
    message: /the end of a text is token 5 there and 2 here/,
  });
});

test('a draft counts: in the memory, against the budget, in the description', async () => {
  await using alone = await loadLocalEngine(fable, { threads: 1 });
  await using engine = await openFable();
  const [without, together] = [await alone.memory(), await engine.memory()];
  assert.ok(together.weightsBytes > without.weightsBytes && together.arenaBytes > without.arenaBytes);
  assert.match(engine.description.draft?.source ?? '', /fable-1m/);
  assert.equal(alone.description.draft, undefined);
  const memoryBudget = without.weightsBytes + without.arenaBytes + 100_000;
  await assert.rejects(openFable({ memoryBudget }), { code: 'out-of-budget' });
  const none = { code: 'out-of-budget', message: /^The draft does not fit: No room for weights/ };
  await assert.rejects(openFable({ memoryBudget: 100_000 }), none);
  await assert.rejects(openFable({ draft: `${fableDraft}.none` }), { code: 'not-found' });
});

/** What a consumer sees; provisional items must be gone before anything else comes. */
async function watch(session: Session, leaveAfter = Number.POSITIVE_INFINITY) {
  const finals: GeneratedToken[] = [];
  let [standing, guesses, text] = [0, 0, ''];
  const options = { maxTokens: 40, provisional: true } as const;
  const generation = session.generate(prompt, options);
  for await (const item of generation) {
    if (item.retracted !== undefined) {
      assert.deepEqual([item.retracted, item.id, item.text], [standing, undefined, '']);
      standing = 0;
    } else if (item.provisional) {
      standing++;
      guesses++;
      text += item.text;
    } else {
      assert.equal(standing, 0);
      finals.push(item);
    }
    if (finals.length + guesses >= leaveAfter && item.provisional) break;
  }
  return { finals, guesses, text, result: await generation.result() };
}

test('provisional tokens are marked and taken back; the text is what it is without them', async () => {
  await using engine = await openFable();
  await using first = await engine.session();
  await using second = await engine.session();
  const plain = await first.generate(prompt, { maxTokens: 40 }).result();
  const { finals, guesses, text, result } = await watch(second);
  assert.deepEqual(result.tokens, plain.tokens);
  assert.deepEqual(
    finals.flatMap(({ id }) => (id === undefined ? [] : [id])),
    plain.tokens,
  );
  assert.equal(finals.map((item) => item.text).join(''), plain.text);
  assert.ok(guesses > 10 && /[a-z]/.test(text), `${guesses} guesses`);
});

test('a consumer may leave at a provisional token: the session keeps what was final', async () => {
  await using engine = await openFable();
  for (const leaveAfter of [1, 9, 30]) {
    await using session = await engine.session();
    const { finals, result } = await watch(session, leaveAfter);
    assert.equal(result.finish, 'stop');
    assert.equal(result.tokens.length, finals.length);
    const ids = await session.tokens();
    assert.deepEqual(ids, [...result.promptTokens, ...result.tokens]);
    const more = await session.generate(ids, { maxTokens: 20 }).result();
    await using fresh = await engine.session();
    const whole = await fresh.generate(ids, { maxTokens: 20, decoder: 'plain' }).result();
    assert.deepEqual(more.tokens, whole.tokens);
  }
});

test('sessions with a draft are forked, cut, paused and closed like others', async () => {
  await using engine = await openFable();
  await using session = await engine.session();
  const { tokens, promptTokens } = await session.generate(prompt, { maxTokens: 30 }).result();
  await using fork = await session.fork();
  await fork.truncate(promptTokens.length + 10);
  const again = await fork.generate([...promptTokens, ...tokens.slice(0, 10)], { maxTokens: 20 }).result();
  assert.deepEqual(again.tokens, tokens.slice(10));
  await session.pause();
  const waiting = session.generate([...promptTokens, 7], { maxTokens: 8 }).result();
  await session.resume();
  assert.equal((await waiting).tokens.length, 8);
  const held = (await engine.memory()).kvCacheBytes;
  for (let round = 0; round < 4; round++) {
    await using short = await engine.session();
    await short.generate(prompt, { maxTokens: 8 }).result();
  }
  assert.ok((await engine.memory()).kvCacheBytes <= held * 1.5, 'closed sessions give their pages back');
});

test('a model that is streamed, with a draft beside it: the same text, aborted or not, within the budget', async () => {
  await using folder = await temporaryFolder();
  const options = { maxTokens: 40, temperature: 0.7, seed: 9 };
  await using resident = await openFable({ contextLength: 128 });
  const held = await resident.memory();
  await using plain = await resident.session();
  const { tokens } = await plain.generate(prompt, { ...options, decoder: 'plain' }).result();
  const memoryBudget = held.weightsBytes + held.arenaBytes - 200_000;
  await using engine = await openFable({
    contextLength: 128,
    memoryBudget,
    cacheFolder: folder.path('cache'),
  });
  assert.ok((engine.description.streaming?.streamedLayers ?? 0) > 0);
  for (const fallback of ['adaptive', 'cost', 'chain'] as const) {
    for (const idleDrafting of [true, false]) {
      await using session = await engine.session();
      const result = await session.generate(prompt, { ...options, fallback, idleDrafting }).result();
      assert.deepEqual(result.tokens, tokens, `${fallback}, ${idleDrafting}`);
      const { provisionalKept, provisionalDropped } = result.decoder.speculation ?? {};
      if (!idleDrafting) assert.deepEqual([provisionalKept, provisionalDropped], [0, 0]);
    }
  }
  for (const after of [1, 4, 9]) {
    await using session = await engine.session();
    const stop = new AbortController();
    const given: number[] = [];
    for await (const { id, provisional } of session.generate(prompt, {
      ...{ ...options, signal: stop.signal, provisional: true },
    })) {
      if (id === undefined || provisional) continue;
      given.push(id);
      if (given.length === after) stop.abort();
    }
    assert.deepEqual(given, tokens.slice(0, given.length));
    const rest = await session.generate(await session.tokens(), options).result();
    assert.deepEqual([...given, ...rest.tokens].slice(0, 40), tokens);
  }
  const { weightsBytes, kvCacheBytes, arenaBytes } = await engine.memory();
  assert.ok(weightsBytes + kvCacheBytes + arenaBytes <= memoryBudget);
});
