/** The loop on real models and backends: the tokens of every proposer are those of plain decoding. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  type DecodedToken,
  type DecodeOptions,
  type DecodeTarget,
  decode,
  openProposer,
  type Proposer,
  type SamplingOptions,
} from '../../src/decoder.ts';
import { type ModelRunner, openRunner } from '../fixture/model-runner.ts';
import { type TinyShapeName, tinyModelBytes } from '../fixture/tiny-model.ts';
import { rightProposer, wildProposer, wrongProposer } from './toy-proposers.ts';

const fable = fileURLToPath(new URL('../../models/fable/fable-4m-q8_0.gguf', import.meta.url));

const machines = [
  { backend: 'reference', threads: 1 },
  { backend: 'wasm', threads: 2 },
] as const;

const samplings: SamplingOptions[] = [
  {},
  { temperature: 0.9, topK: 40, topP: 0.95, minP: 0.02, seed: 11, repetitionPenalty: 1.1 },
];

async function openTarget(
  { executor, cache }: ModelRunner,
  prompt: readonly number[],
): Promise<DecodeTarget> {
  const sequence = cache.openSequence();
  const rows = prompt.slice(0, -1).map((token, position) => {
    const parent = position === 0 ? -1 : { row: position - 1 };
    return { sequence, token, position, parent };
  });
  const { cacheRows } = await executor.run({ rows, select: { kind: 'nothing' } });
  await executor.move(sequence.commit(cacheRows));
  return { executor, sequence, contextLength: cache.contextLength, tokens: [...prompt] };
}

async function collect(
  target: DecodeTarget,
  proposer: Proposer,
  options: DecodeOptions,
): Promise<DecodedToken[]> {
  const tokens: DecodedToken[] = [];
  for await (const token of decode(target, proposer, options)) tokens.push(token);
  return tokens;
}

async function checkProposers(
  runner: ModelRunner,
  prompt: readonly number[],
  tokenCount: number,
): Promise<void> {
  const { vocabularySize } = runner.executor;
  for (const sampling of samplings) {
    const options = { maxTokens: tokenCount, sampling, logprobs: 2 };
    const plainTarget = await openTarget(runner, prompt);
    const plain = await collect(plainTarget, openProposer('plain'), options);
    const text = plainTarget.tokens;
    assert.equal(plain.length, tokenCount);
    for (const proposer of [
      openProposer('lookup'),
      rightProposer(text),
      wrongProposer(text, vocabularySize),
      wildProposer(text, vocabularySize, 3),
    ]) {
      const target = await openTarget(runner, prompt);
      // Same rows, same bits: even the log-probabilities are equal.
      const note = `${proposer.name}, ${JSON.stringify(sampling)}`;
      assert.deepEqual(await collect(target, proposer, options), plain, note);
      // Without log-probabilities greedy decoding takes the backend's own arg-max.
      const argmaxTarget = await openTarget(runner, prompt);
      const ids = await collect(argmaxTarget, proposer, { maxTokens: tokenCount, sampling });
      assert.deepEqual(
        ids.map(({ id }) => id),
        plain.map(({ id }) => id),
        note,
      );
      for (const { sequence } of [target, argmaxTarget]) sequence.close();
    }
    plainTarget.sequence.close();
  }
}

for (const name of ['llama', 'qwen2'] satisfies TinyShapeName[]) {
  for (const machine of machines) {
    test(`${name} on ${machine.backend}`, async () => {
      await using runner = await openRunner(await tinyModelBytes(name), machine);
      await checkProposers(runner, [5, 9, 120, 33, 5, 9], 40);
    });
  }
}

test('a trained model', async () => {
  await using runner = await openRunner(fable, { backend: 'wasm', threads: 2 });
  await checkProposers(runner, [1, 1100, 700, 261, 300], 60);
});
