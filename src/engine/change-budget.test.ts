/** A memory budget that is changed while text is generated: the same tokens, or a typed error and the same tokens later. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from '../../test/fixture/temporary-folder.ts';
import type { Engine, GenerateOptions, LoadOptions } from '../engine.ts';
import { loadRemoteEngine } from './channel/remote-engine.ts';
import { loadLocalEngine } from './load-local.ts';

const modelPath = (name: string): string =>
  fileURLToPath(new URL(`../../models/fable/${name}.gguf`, import.meta.url));
const [fable, fableDraft] = [modelPath('fable-4m-q8_0'), modelPath('fable-1m-q8_0')];
/** A page of the cache holds 512 rows: the text goes on into a second one. */
const prompt = [1, ...Array.from({ length: 504 }, (_, index) => 300 + ((index * 37) % 800))];
const options: GenerateOptions = { maxTokens: 24, ignoreEnd: true };
const limits: LoadOptions = { threads: 1, contextLength: 700 };

const lacking = { code: 'out-of-budget' } as const;

/** What the engine holds, in bytes, from what it says to a budget of nothing. */
async function heldBytes(engine: Engine): Promise<number> {
  const refusal = await engine.changeMemoryBudget(0).then(
    () => '0 bytes',
    (error: Error) => error.message,
  );
  return Number(/(\d+) bytes \(/.exec(refusal)?.[1]);
}

async function plainTokens(): Promise<readonly number[]> {
  await using engine = await loadLocalEngine(fable, limits);
  await using session = await engine.session();
  return (await session.generate(prompt, { ...options, decoder: 'plain' }).result()).tokens;
}

const expected = await plainTokens();

/** Not enough for all layers and a page of the cache at once. */
async function tightBudget(): Promise<number> {
  await using engine = await loadLocalEngine(fable, limits);
  const { weightsBytes, arenaBytes } = await engine.memory();
  return weightsBytes + arenaBytes + 300_000;
}

for (const kind of ['resident', 'streamed'] as const) {
  test(`${kind}: less than a longer text needs ends it; with more it goes on where it was`, async () => {
    await using folder = await temporaryFolder();
    const memory =
      kind === 'streamed' ? { memoryBudget: await tightBudget(), cacheFolder: folder.path('cache') } : {};
    await using engine = await loadLocalEngine(fable, { ...limits, ...memory });
    assert.equal(engine.description.streaming !== undefined, kind === 'streamed');
    await using session = await engine.session();
    const given: number[] = [];
    const generate = async (): Promise<void> => {
      for await (const { id } of session.generate(prompt, options)) {
        if (id !== undefined) given.push(id);
        if (given.length === 2) {
          const held = await heldBytes(engine);
          await assert.rejects(engine.changeMemoryBudget(held - 1), lacking);
          await engine.changeMemoryBudget(held);
        }
      }
    };
    await assert.rejects(generate(), lacking);
    assert.ok(given.length >= 2 && given.length < expected.length, `${given.length} tokens`);
    assert.deepEqual(given, expected.slice(0, given.length));
    await engine.changeMemoryBudget(Number.POSITIVE_INFINITY);
    const more = { ...options, maxTokens: expected.length - given.length };
    const { tokens } = await session.generate(await session.tokens(), more).result();
    assert.deepEqual([...given, ...tokens], expected);
  });
}

test('a draft gives up its memory for the model, while text is generated and before', async () => {
  const drafting = { draft: fableDraft, decoder: 'tree', fallback: 'chain' } as const;
  await using engine = await loadLocalEngine(fable, { ...limits, ...drafting });
  const kept = prompt.slice(0, 440);
  await using alone = await engine.session();
  const longer = { ...options, maxTokens: 100 };
  const { tokens } = await alone.generate(kept, { ...longer, decoder: 'plain' }).result();
  await alone.close();
  for (const part of ['text', 'prompt'] as const) {
    await engine.changeMemoryBudget(Number.POSITIVE_INFINITY);
    await using session = await engine.session();
    await session.generate(kept, { maxTokens: 1, decoder: 'plain' }).result();
    const pageBytes = (await engine.memory()).kvCacheBytes;
    const given: number[] = [];
    const generation = session.generate(kept, part === 'text' ? longer : { ...longer, maxTokens: 4 });
    for await (const { id } of generation) {
      if (id !== undefined) given.push(id);
      if (given.length !== 4) continue;
      const draftBytes = (await engine.memory()).kvCacheBytes - pageBytes;
      assert.ok(draftBytes > 0 && draftBytes < pageBytes, `${draftBytes} of the draft`);
      // Room for another page of the model where the draft has none.
      await engine.changeMemoryBudget((await heldBytes(engine)) + pageBytes - draftBytes);
    }
    const { decoder } = await generation.result();
    if (part === 'text') assert.equal(decoder.speculation?.draftEnd, 'out-of-budget');
    const rest = await session
      .generate([...kept, ...tokens.slice(0, 90)], { ...longer, maxTokens: 10 })
      .result();
    assert.deepEqual([...given.slice(0, 90), ...tokens.slice(given.length, 90), ...rest.tokens], tokens);
    assert.equal((await engine.memory()).kvCacheBytes, 2 * pageBytes);
  }
});

test('an engine in a worker is told, too', async () => {
  await using engine = await loadRemoteEngine(fable, limits);
  await assert.rejects(engine.changeMemoryBudget(1000), lacking);
  await assert.rejects(engine.changeMemoryBudget(Number.NaN), { code: 'bad-argument' });
  await engine.changeMemoryBudget(await heldBytes(engine));
  await using session = await engine.session();
  await assert.rejects(session.generate(prompt, options).result(), lacking);
});
