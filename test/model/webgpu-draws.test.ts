/** Tokens drawn on the device, on the repository's model: those of the host's sampler, asked for ahead of what is read. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Engine, type GenerateOptions, loadEngine } from '../../src/engine.ts';
import { findSoftwareGpu } from '../fixture/software-gpu.ts';
import { temporaryFolder } from '../fixture/temporary-folder.ts';
import { changeKernels, watchDevice } from '../fixture/watch-device.ts';

const { skip } = await findSoftwareGpu();
const path = fileURLToPath(new URL('../../models/fable/fable-1m-q8_0.gguf', import.meta.url));
const prompt = Array.from({ length: 6 }, (_, index) => 300 + index);
let loading: Promise<Engine> | undefined;
const engine = (): Promise<Engine> => {
  loading ??= loadEngine(path, { backend: 'webgpu', chunkRows: 16, contextLength: 256 });
  return loading;
};
after(async () => (await loading)?.close());

const samplings: GenerateOptions[] = [
  {},
  { temperature: 1, seed: 3 },
  { temperature: 0.8, topK: 40, topP: 0.95, minP: 0.05, seed: 4 },
  { temperature: 0.9, seed: 5, repetitionPenalty: 1.2, frequencyPenalty: 0.1 },
  { presencePenalty: 1, penaltyWindow: -1, logitBias: new Map([[4045, -2]]) },
];

/** Generates until tokens are drawn on the device: the kernels are compiled beside the first ones. */
async function warmUp(options: GenerateOptions): Promise<void> {
  await using session = await (await engine()).session();
  for (let turn = 1; ; turn++) {
    assert.ok(turn < mostTurns, 'the device draws nothing');
    using watch = watchDevice();
    await session.generate(prompt, { ...options, maxTokens: 1, decoder: 'plain' }).result();
    if (watch.copies.some(({ source }) => source === 'step')) return;
    await sleep(50);
  }
}

/** Kernels are compiled beside texts that the host draws; so many of them take longer than any compiling. */
const mostTurns = 400;

/** Whose log-probabilities are asked for is drawn on the host. */
const onHost = { logprobs: 1, decoder: 'plain' } as const;

test('ids are those that the host draws from the same logits', { skip }, async () => {
  await using session = await (await engine()).session();
  for (const sampling of samplings) {
    const options = { ...sampling, maxTokens: 24, ignoreEnd: true };
    await warmUp(sampling);
    const host = await session.generate(prompt, { ...options, ...onHost }).result();
    for (const decoder of ['plain', 'auto'] as const) {
      const { tokens, finish } = await session.generate(prompt, { ...options, decoder }).result();
      assert.deepEqual(tokens, host.tokens, `${decoder} ${JSON.stringify(sampling)}`);
      assert.equal(finish, 'length');
    }
  }
});

test('the next step is asked for before a token is read, and eight bytes are', { skip }, async () => {
  await using session = await (await engine()).session();
  const options = { maxTokens: 16, ignoreEnd: true, decoder: 'plain' } as const;
  await warmUp(options);
  await session.generate(prompt, { ...options, maxTokens: 0 }).result();
  using watch = watchDevice();
  const before = await (await engine()).deviceWork();
  const { tokens } = await session.generate(prompt, options).result();
  const work = await (await engine()).deviceWork();
  assert.equal(tokens.length, 16);
  const { results, copies, dispatches, submits } = watch;
  assert.equal(results.length, 32);
  let [asked, read, ahead] = [0, 0, 0];
  for (const event of results) {
    if (event === 'asked') asked++;
    else if (asked > ++read) ahead++;
  }
  // The last is asked for alone; on a busy machine a row may take longer than is given to the device at once.
  assert.ok(ahead >= 8, `${results}`);
  const ofResults = copies.filter(({ target }) => target !== 'timestamps');
  assert.ok(ofResults.every(({ target, bytes }) => target === 'results' && bytes === 8));
  assert.ok(work && before);
  assert.deepEqual(
    [work.submits - before.submits, work.dispatches - before.dispatches],
    [submits, dispatches],
  );
  assert.equal(work.bytesRead - before.bytesRead, 16 * 8);
});

test('with gaps between pieces of work tokens are drawn on the device, too', { skip }, async () => {
  await using gentle = await loadEngine(path, {
    ...{ backend: 'webgpu', priority: 'interactive', chunkRows: 16, contextLength: 256 },
  });
  await using session = await gentle.session();
  const options = { maxTokens: 16, ignoreEnd: true, decoder: 'plain', temperature: 0.9, seed: 6 } as const;
  const host = await session.generate(prompt, { ...options, logprobs: 1 }).result();
  for (let turn = 1; ; turn++) {
    assert.ok(turn < mostTurns, 'the device draws nothing');
    using watch = watchDevice();
    const { tokens } = await session.generate(prompt, options).result();
    assert.deepEqual(tokens, host.tokens);
    // The kernels are compiled beside the first tokens.
    if (watch.copies.filter(({ source }) => source === 'step').length === 16) break;
    await sleep(50);
  }
});

test('where a kernel of the draw is wrong the host draws, and the engine says so', { skip }, async () => {
  using _ = changeKernels((code, label) =>
    label.startsWith('draw first') ? code.replace('if (other > key)', 'if (other >= key)') : code,
  );
  await using files = await temporaryFolder();
  await using wrong = await loadEngine(path, {
    ...{ backend: 'webgpu', chunkRows: 16, contextLength: 256, cacheFolder: files.path('facts') },
  });
  await using session = await wrong.session();
  await using other = await (await engine()).session();
  const options = { maxTokens: 8, ignoreEnd: true, decoder: 'plain' } as const;
  const right = await other.generate(prompt, { ...options, logprobs: 1 }).result();
  for (let [turn, isTold] = [1, false]; !isTold; turn++) {
    assert.ok(turn < mostTurns, 'nothing is told');
    using watch = watchDevice();
    const { tokens } = await session.generate(prompt, options).result();
    assert.deepEqual(tokens, right.tokens);
    assert.ok(watch.copies.every(({ source }) => source !== 'step'));
    isTold = (await wrong.machine()).remarks.some((line) => /^kernel draw first .* is not used/.test(line));
  }
});

test('sessions take turns, leave, abort, pause, and go on as if alone', { skip }, async () => {
  await using session = await (await engine()).session();
  await using other = await (await engine()).session();
  await warmUp({ temperature: 1 });
  const options = { temperature: 1, seed: 8, ignoreEnd: true, decoder: 'plain' } as const;
  const alone = (await session.generate(prompt, { ...options, maxTokens: 20 }).result()).tokens;
  const [a, b] = await Promise.all(
    [session, other].map((one) => one.generate(prompt.slice(), { ...options, maxTokens: 20 }).result()),
  );
  assert.deepEqual([a?.tokens, b?.tokens], [alone, alone]);
  for (const way of ['leave', 'abort', 'pause']) {
    const controller = new AbortController();
    const ids: number[] = [];
    await other.truncate(0);
    const generation = other.generate(prompt, { ...options, maxTokens: 20, signal: controller.signal });
    for await (const { id } of generation) {
      if (id !== undefined) ids.push(id);
      if (ids.length !== 7) continue;
      if (way === 'leave') break;
      if (way === 'abort') controller.abort();
      if (way === 'pause') await other.pause().then(() => other.resume());
    }
    assert.equal(ids.length, way === 'pause' ? 20 : 7, way);
    const rest = { ...options, maxTokens: 20 - ids.length };
    const { tokens } = await other.generate([...prompt, ...ids], rest).result();
    assert.deepEqual([...ids, ...tokens], alone, way);
  }
});
