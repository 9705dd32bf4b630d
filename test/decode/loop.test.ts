/** The loop over a toy model and the real cache: every proposer gives the tokens of plain decoding. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uniformAt } from '../../src/base/random.ts';
import {
  type DecodeOptions,
  type FallbackName,
  fallbackNames,
  openProposer,
  type SamplingOptions,
} from '../../src/decoder.ts';
import { openToyDraft } from './toy-draft.ts';
import { openToyTarget, type ToyOptions } from './toy-executor.ts';
import { rightProposer, wildProposer, wrongProposer } from './toy-proposers.ts';
import { checkConsistent, collect } from './toy-run.ts';

const vocabularySize = 24;
const toy: ToyOptions = { vocabularySize };
/** A draft that agrees with the toy more often than not. */
const blurred: ToyOptions = {
  ...toy,
  alter: (logits, position) => {
    for (const id of logits.keys()) logits[id] = (logits[id] ?? 0) + 2 * uniformAt(id, position);
  },
};
const prompt = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3];

const samplings: SamplingOptions[] = [
  {},
  { temperature: 1, seed: 1 },
  { temperature: 0.5, seed: 2, topK: 8, topP: 0.9, minP: 0.02 },
  { repetitionPenalty: 1.3, frequencyPenalty: 0.2 },
  { temperature: 0.8, seed: 3, repetitionPenalty: 1.2, presencePenalty: 0.5, penaltyWindow: 7 },
  { temperature: 1.2, seed: 4, frequencyPenalty: 0.1, penaltyWindow: -1 },
  {
    temperature: 1,
    seed: 5,
    logitBias: new Map([
      [2, Number.NEGATIVE_INFINITY],
      [7, 3],
    ]),
  },
];

test('every proposer gives the tokens of plain decoding', async () => {
  const accepted = new Map<string, number>();
  for (const [index, sampling] of samplings.entries()) {
    for (const options of [
      { maxTokens: 80, sampling },
      { maxTokens: 1, sampling },
      { maxTokens: 60, sampling, logprobs: 3 },
      { maxTokens: 80, sampling, endIds: new Set([11, 17]) },
      { maxTokens: Number.POSITIVE_INFINITY, sampling, contextLength: 70 },
    ]) {
      const toyHere = { ...toy, contextLength: options.contextLength ?? 1000 };
      const open = () => openToyTarget(toyHere, prompt);
      const plainTarget = await open();
      const plain = await collect(plainTarget, openProposer('plain'), options);
      const text = plainTarget.tokens;
      const proposers = [
        openProposer('lookup'),
        ...fallbackNames.map((fallback) => openProposer('tree', { draft: openToyDraft(blurred), fallback })),
        openProposer('auto', { draft: openToyDraft(blurred) }),
        rightProposer(text),
        wrongProposer(text, vocabularySize),
        ...[1, 2].map((seed) => wildProposer(text, vocabularySize, seed * 100 + index)),
      ];
      for (const proposer of proposers) {
        const target = await open();
        const run = await collect(target, proposer, options);
        const note = `${proposer.name}, ${JSON.stringify(sampling)}, ${Object.keys(options)}`;
        assert.deepEqual(run.tokens, plain.tokens, note);
        assert.deepEqual(target.tokens, text, note);
        assert.equal(run.stats.finish, plain.stats.finish, note);
        assert.equal(run.stats.tokens, plain.ids.length, note);
        checkConsistent(target, note);
        accepted.set(proposer.name, (accepted.get(proposer.name) ?? 0) + run.stats.accepted);
      }
    }
  }
  assert.equal(accepted.get('wrong'), 0);
  for (const name of ['lookup', 'tree', 'auto', 'right', 'wild']) {
    assert.ok((accepted.get(name) ?? 0) > 60, `${name}: ${accepted.get(name)} accepted`);
  }
});

test('trees are verified in one pass, their accepted rows moved into place', async () => {
  const plainTarget = await openToyTarget(toy, prompt);
  await collect(plainTarget, openProposer('plain'), { maxTokens: 300 });
  const target = await openToyTarget(toy, prompt);
  const { stats } = await collect(target, wildProposer(plainTarget.tokens, vocabularySize, 5), {
    maxTokens: 300,
  });
  assert.ok(stats.steps < 200, `${stats.steps} steps`);
  assert.equal(target.executor.rowCount, stats.steps + stats.proposed);
  assert.ok(target.executor.movedRows > 20, `${target.executor.movedRows} rows moved`);
  assert.equal(stats.tokens, stats.steps + stats.accepted);
});

test('a proposer that knows the text needs one pass per 64 tokens, and no logits are asked for in vain', async () => {
  const plainTarget = await openToyTarget(toy, prompt);
  const plain = await collect(plainTarget, openProposer('plain'), { maxTokens: 256 });
  assert.equal(plain.stats.steps, 256);
  const target = await openToyTarget(toy, prompt);
  const { stats } = await collect(target, rightProposer(plainTarget.tokens), { maxTokens: 256 });
  assert.equal(stats.steps, 4);
  assert.deepEqual([...target.executor.kinds], ['nothing', 'argmax']);
  const few = await openToyTarget({ ...toy, maxSelected: 4 }, prompt);
  const run = await collect(few, rightProposer(plainTarget.tokens), { maxTokens: 256 });
  assert.equal(run.stats.steps, 64);
});

test('the sampled tokens follow the distribution of the model', async () => {
  // The toy's logits depend on all tokens; here they are fixed, so that all draws come from one distribution.
  const logits = Array.from({ length: 12 }, (_, id) => Math.sin(id * 2.3) * 2);
  const alter = (row: Float32Array) => row.set(logits);
  const [texts, length] = [20, 300];
  const draws = texts * length;
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
  const ids: number[] = [];
  let accepted = 0;
  const draft = openToyDraft({ vocabularySize: 12, alter });
  for (let seed = 0; seed < texts; seed++) {
    const target = await openToyTarget({ vocabularySize: 12, alter }, [1]);
    const options = { maxTokens: length, sampling: { temperature: 1, seed } };
    const run = await collect(target, openProposer('tree', { draft }), options);
    ids.push(...run.ids);
    accepted += run.stats.accepted;
  }
  assert.ok(accepted > 500, `${accepted} accepted`);
  const chiSquare = logits.reduce((sum, logit, id) => {
    const expected = (draws * Math.exp(logit)) / total;
    return sum + (ids.filter((drawn) => drawn === id).length - expected) ** 2 / expected;
  }, 0);
  // 11 degrees of freedom: 31.3 is exceeded once in a thousand.
  assert.ok(chiSquare < 31.3, `chi-square ${chiSquare}`);
});

test('options and targets that are refused', async () => {
  const bad: [DecodeOptions, string][] = [
    [{ maxTokens: -1 }, 'bad-argument'],
    [{ maxTokens: 1.5 }, 'bad-argument'],
    [{ maxTokens: Number.NaN }, 'bad-argument'],
    [{ maxTokens: 1, logprobs: -1 }, 'bad-argument'],
    [{ maxTokens: 1, logprobs: vocabularySize + 1 }, 'bad-argument'],
    [{ maxTokens: 1, sampling: { temperature: -1 } }, 'bad-argument'],
  ];
  for (const [options, code] of bad) {
    const target = await openToyTarget(toy, prompt);
    await assert.rejects(collect(target, openProposer('plain'), options), { code }, JSON.stringify(options));
    checkConsistent(target, JSON.stringify(options));
  }
  const target = await openToyTarget(toy, prompt);
  assert.deepEqual((await collect(target, openProposer('plain'), { maxTokens: 0 })).stats.finish, 'length');
  const empty = { ...target, tokens: [] };
  await assert.rejects(collect(empty, openProposer('plain'), { maxTokens: 1 }), { code: 'bad-argument' });
  const askew = { ...target, tokens: [...target.tokens, 1] };
  await assert.rejects(collect(askew, openProposer('plain'), { maxTokens: 1 }), { code: 'internal' });
  const fallback = 'never' as FallbackName;
  assert.throws(() => openProposer('tree', { fallback }), { code: 'unsupported', message: /adaptive, cost/ });
  assert.throws(() => openProposer('oracle'), { code: 'unsupported', message: /plain, tree, lookup, auto/ });
});

test('a proposer that breaks its contract is named', async () => {
  const trees = [
    { tokens: [1, 2], parents: [-1] },
    { tokens: [1, 2], parents: [1, -1] },
    { tokens: [1], parents: [-2] },
    { tokens: [1], parents: [0.5] },
    { tokens: [vocabularySize], parents: [-1] },
    { tokens: [-1], parents: [-1] },
    { tokens: Array(9).fill(1), parents: Array(9).fill(-1) },
  ];
  for (const tree of trees) {
    const target = await openToyTarget(toy, prompt);
    const proposer = { name: 'broken', propose: () => tree };
    await assert.rejects(collect(target, proposer, { maxTokens: 9 }), {
      code: 'internal',
      message: /broken/,
    });
    checkConsistent(target, JSON.stringify(tree));
  }
});

test('two decodings on one executor take turns without disturbing each other', async () => {
  const open = async () => openToyTarget(toy, prompt);
  const [first, second] = [await open(), await open()];
  const sampling = { temperature: 1, seed: 9 };
  const plain = await collect(first, openProposer('plain'), { maxTokens: 50, sampling });
  const shared = second.executor;
  const other = { ...second, sequence: shared.cache.openSequence(), tokens: [7] };
  const [left, right] = await Promise.all([
    collect(second, wildProposer(first.tokens, vocabularySize, 1), { maxTokens: 50, sampling }),
    collect(other, openProposer('lookup'), { maxTokens: 50, sampling }),
  ]);
  assert.deepEqual(left.ids, plain.ids);
  assert.equal(right.ids.length, 50);
  checkConsistent(second, 'left');
  checkConsistent(other, 'right');
});
