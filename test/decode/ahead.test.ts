/** A machine that draws tokens itself is given rows ahead: the text is that of the loop alone, however that ends. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode, openProposer, type SamplingOptions } from '../../src/decoder.ts';
import { type ToyDrawOptions, toyDraws } from './toy-draws.ts';
import { openToyTarget, type ToyOptions } from './toy-executor.ts';
import { wildProposer } from './toy-proposers.ts';
import { checkConsistent, collect } from './toy-run.ts';

const vocabularySize = 24;
const toy: ToyOptions = { vocabularySize };
const prompt = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3];

const samplings: SamplingOptions[] = [
  {},
  { temperature: 0.5, seed: 2, topK: 8, topP: 0.9, minP: 0.02 },
  { repetitionPenalty: 1.3, frequencyPenalty: 0.2 },
  { temperature: 0.8, seed: 3, repetitionPenalty: 1.2, presencePenalty: 0.5, penaltyWindow: 7 },
  { temperature: 1, seed: 7, presencePenalty: 1.5, penaltyWindow: 1 },
  { temperature: 1.2, seed: 4, frequencyPenalty: 0.1, penaltyWindow: -1 },
  {
    ...{ temperature: 1, seed: 5, repetitionPenalty: 1.2, penaltyWindow: 2 },
    logitBias: new Map([
      [2, Number.NEGATIVE_INFINITY],
      [7, 3],
    ]),
  },
];

const machines: Record<string, ToyDrawOptions> = {
  sure: {},
  'often unsure': { isUnsure: (position) => position % 5 === 0 },
  'failing twice': { fails: (position) => position === 20 || position === 31 },
  'failing for ever': { fails: () => true },
};

test('the tokens are those of a machine that does not draw', async () => {
  for (const sampling of samplings) {
    for (const options of [
      { maxTokens: 60, sampling },
      { maxTokens: 1, sampling },
      { maxTokens: 60, sampling, endIds: new Set([11, 17]) },
      { maxTokens: Number.POSITIVE_INFINITY, sampling, contextLength: 50 },
    ]) {
      const here = { ...toy, contextLength: options.contextLength ?? 1000 };
      const plainTarget = await openToyTarget(here, prompt);
      const plain = await collect(plainTarget, openProposer('plain'), options);
      for (const [name, machine] of Object.entries(machines)) {
        for (const decoder of ['plain', 'lookup', 'auto']) {
          const { draws, tally } = toyDraws(machine);
          const target = await openToyTarget({ ...here, draws }, prompt);
          const run = await collect(target, openProposer(decoder), options);
          const note = `${name}, ${decoder}, ${JSON.stringify(sampling)}, ${Object.keys(options)}`;
          assert.deepEqual(run.ids, plain.ids, note);
          assert.deepEqual(target.tokens, plainTarget.tokens, note);
          assert.equal(run.stats.finish, plain.stats.finish, note);
          checkConsistent(target, note);
          if (name === 'sure' && decoder === 'plain') {
            assert.equal(tally.taken, plain.ids.length + Number(run.stats.finish === 'end'), note);
            assert.ok(tally.mostAhead === Math.min(2, options.maxTokens), note);
          }
        }
      }
    }
  }
});

test('what is looked up is verified, and nothing goes ahead of it', async () => {
  const { draws, tally } = toyDraws();
  const target = await openToyTarget({ ...toy, draws }, prompt);
  const { stats } = await collect(target, openProposer('lookup'), { maxTokens: 200 });
  assert.ok(stats.accepted > 20, `${stats.accepted} accepted`);
  assert.ok(tally.taken > 10, `${tally.taken} drawn`);
  // A proposer whose trees cost something is always waited for.
  const text = target.tokens;
  const other = toyDraws();
  const costly = await openToyTarget({ ...toy, draws: other.draws }, prompt);
  await collect(costly, wildProposer(text, vocabularySize, 3), { maxTokens: 200 });
  assert.deepEqual(costly.tokens, text);
  assert.equal(other.tally.taken, 0);
});

test('log-probabilities take the logits', async () => {
  const { draws, tally } = toyDraws();
  const target = await openToyTarget({ ...toy, draws }, prompt);
  const { tokens } = await collect(target, openProposer('plain'), { maxTokens: 5, logprobs: 2 });
  assert.ok(tokens.every(({ top }) => top?.length === 2));
  assert.equal(tally.taken, 0);
});

test('a consumer that leaves, or aborts, keeps what it was given, and may go on', async () => {
  const plainTarget = await openToyTarget(toy, prompt);
  const plain = await collect(plainTarget, openProposer('plain'), { maxTokens: 30 });
  for (const way of ['leave', 'abort']) {
    for (const count of [1, 2, 3, 10]) {
      const target = await openToyTarget({ ...toy, draws: toyDraws().draws }, prompt);
      const controller = new AbortController();
      const { signal } = controller;
      const decoding = decode(target, openProposer('plain'), { maxTokens: 30, signal });
      const ids: number[] = [];
      for await (const { id } of decoding) {
        ids.push(id);
        if (ids.length < count) continue;
        if (way === 'leave') break;
        controller.abort();
      }
      assert.equal(decoding.stats.finish, way === 'leave' ? 'stop' : 'aborted');
      assert.deepEqual(ids, plain.ids.slice(0, count));
      checkConsistent(target, `${way} after ${count}`);
      const rest = await collect(target, openProposer('plain'), { maxTokens: 30 - count });
      assert.deepEqual(rest.ids, plain.ids.slice(count));
    }
  }
});
