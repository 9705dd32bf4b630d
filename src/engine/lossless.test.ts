/** A streamed model with a draft beside it says what the model says alone in memory: every decoder, every way to draw. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { temporaryFolder } from '../../test/fixture/temporary-folder.ts';
import { tinyModelBytes, tinyShapes } from '../../test/fixture/tiny-model.ts';
import type { GenerateOptions, GenerationResult, Session } from '../engine.ts';
import { formatByName } from '../format.ts';
import { loadLocalEngine } from './load-local.ts';

const shape = { ...tinyShapes.llama, layers: 5 };
const prompt = [5, 9, 120, 33, 5, 9, 120];
const maxTokens = 24;

const draws: readonly GenerateOptions[] = [
  {},
  { temperature: 0.8, seed: 4, topK: 12, topP: 0.9, minP: 0.02 },
  { repetitionPenalty: 1.3, frequencyPenalty: 0.2, presencePenalty: 0.1, penaltyWindow: 9 },
  {
    temperature: 1.1,
    seed: 9,
    logitBias: new Map([
      [7, 3],
      [11, Number.NEGATIVE_INFINITY],
    ]),
  },
];

function generate(session: Session, options: GenerateOptions): Promise<GenerationResult> {
  return session.generate(prompt, { maxTokens, ignoreEnd: true, ...options }).result();
}

/** Each draw, and each once more with a stop string in the middle of its text. */
async function plainResults(backend: 'wasm' | 'reference', model: Uint8Array) {
  await using engine = await loadLocalEngine(model, { backend, threads: 1 });
  const results: { options: GenerateOptions; plain: GenerationResult }[] = [];
  for (const draw of draws) {
    await using session = await engine.session();
    const whole = await generate(session, { ...draw, decoder: 'plain' });
    results.push({ options: draw, plain: whole });
    const stop = [whole.text.slice(whole.text.length >> 1).slice(0, 3)];
    const stopped = await generate(session, { ...draw, stop, decoder: 'plain' });
    assert.ok(stopped.text.length < whole.text.length);
    results.push({ options: { ...draw, stop }, plain: stopped });
  }
  return results;
}

for (const backend of ['reference', 'wasm'] as const) {
  test(`${backend}: tree, lookup and auto over streamed layers`, async () => {
    await using folder = await temporaryFolder();
    const model = await tinyModelBytes('llama', { shape });
    const draft = await tinyModelBytes('llama', { shape, format: formatByName('q8_0') });
    const results = await plainResults(backend, model);
    const load = {
      backend,
      threads: 1,
      draft,
      contextLength: 64,
      cacheFolder: folder.path('cache'),
    } as const;
    await using resident = await loadLocalEngine(model, load);
    const { weightsBytes, arenaBytes } = await resident.memory();
    await using engine = await loadLocalEngine(model, { ...load, memoryBudget: weightsBytes + arenaBytes });
    assert.ok((engine.description.streaming?.streamedLayers ?? 0) > 0);
    let accepted = 0;
    for (const { options, plain } of results) {
      for (const way of [
        { decoder: 'tree', fallback: 'cost' },
        { decoder: 'tree', fallback: 'adaptive' },
        { decoder: 'lookup' },
        { decoder: 'auto' },
      ] as const) {
        await using session = await engine.session();
        const { tokens, text, finish, decoder } = await generate(session, { ...options, ...way });
        const note = JSON.stringify({ ...options, ...way });
        assert.deepEqual([tokens, text, finish], [plain.tokens, plain.text, plain.finish], note);
        accepted += decoder.accepted;
      }
    }
    assert.ok(accepted > 50, `${accepted} accepted`);
  });
}
