/** The loop on real models and backends: the tokens of every proposer are those of plain decoding. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  type DecodedToken,
  type DecodeOptions,
  type DecodeTarget,
  type DraftModel,
  decode,
  fallbackNames,
  openProposer,
  type Proposer,
  type SamplingOptions,
  type VerifiedPass,
} from '../../src/decoder.ts';
import { formatByName } from '../../src/format.ts';
import { type ModelRunner, openRunner } from '../fixture/model-runner.ts';
import { type TinyShapeName, tinyModelBytes } from '../fixture/tiny-model.ts';
import { longWaits } from './toy-draft.ts';
import { rightProposer, wildProposer, wrongProposer } from './toy-proposers.ts';

const modelPath = (name: string): string =>
  fileURLToPath(new URL(`../../models/fable/${name}.gguf`, import.meta.url));
const [fable, fableDraft] = [modelPath('fable-4m-q8_0'), modelPath('fable-1m-q8_0')];

const machines = [
  { backend: 'reference', threads: 1, tokens: 14 },
  { backend: 'wasm', threads: 2, tokens: 40 },
] as const;

const samplings: SamplingOptions[] = [
  {},
  { temperature: 0.9, topK: 40, topP: 0.95, minP: 0.02, seed: 11, repetitionPenalty: 1.1 },
  {
    frequencyPenalty: 0.3,
    penaltyWindow: 12,
    logitBias: new Map([
      [9, -4],
      [33, Number.NEGATIVE_INFINITY],
    ]),
  },
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

/** Counts what is accepted of a proposer's trees. */
function counted(proposer: Proposer): Proposer & { readonly accepted: number } {
  const observe = proposer.observe?.bind(proposer);
  const counting = Object.assign(proposer, {
    accepted: 0,
    observe(pass: VerifiedPass) {
      counting.accepted += pass.drawn.length - 1;
      observe?.(pass);
    },
  });
  return counting;
}

async function checkProposers(
  runner: ModelRunner,
  draftRunner: ModelRunner,
  prompt: readonly number[],
  tokenCount: number,
): Promise<void> {
  const { vocabularySize } = runner.executor;
  const draft: DraftModel = {
    executor: draftRunner.executor,
    contextLength: draftRunner.cache.contextLength,
    openSequence: () => draftRunner.cache.openSequence(),
  };
  let drafted = 0;
  for (const sampling of samplings) {
    const options = { maxTokens: tokenCount, sampling, logprobs: 2 };
    const plainTarget = await openTarget(runner, prompt);
    const plain = await collect(plainTarget, openProposer('plain'), options);
    const text = plainTarget.tokens;
    assert.equal(plain.length, tokenCount);
    for (const proposer of [
      openProposer('lookup'),
      ...fallbackNames.map((fallback) => counted(openProposer('tree', { draft, fallback }))),
      openProposer('auto', { draft }),
      rightProposer(text),
      wrongProposer(text, vocabularySize),
      wildProposer(text, vocabularySize, 3),
    ]) {
      const target = { ...(await openTarget(runner, prompt)), waitedMs: longWaits() };
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
      drafted += 'accepted' in proposer ? Number(proposer.accepted) : 0;
      proposer.close?.();
    }
    plainTarget.sequence.close();
  }
  assert.ok(drafted > 2 * tokenCount, `${drafted} of the drafts' tokens accepted`);
}

for (const name of ['llama', 'qwen2'] satisfies TinyShapeName[]) {
  for (const machine of machines) {
    test(`${name} on ${machine.backend}`, async () => {
      await using runner = await openRunner(await tinyModelBytes(name), machine);
      const small = await tinyModelBytes(name, { format: formatByName('q8_0') });
      await using draft = await openRunner(small, machine);
      await checkProposers(runner, draft, [5, 9, 120, 33, 5, 9], machine.tokens);
    });
  }
}

test('a trained model', async () => {
  await using runner = await openRunner(fable, { backend: 'wasm', threads: 2 });
  await using draft = await openRunner(fableDraft, { backend: 'wasm', threads: 1 });
  await checkProposers(runner, draft, [1, 1100, 700, 261, 300], 60);
});
