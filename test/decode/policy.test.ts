/** What fallbacks come to in time, over toy models on a clock by which passes take what they are said to. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uniformAt } from '../../src/base/random.ts';
import { decode, type FallbackName, openProposer, type ProposerName } from '../../src/decoder.ts';
import { openToyDraft } from './toy-draft.ts';
import { openToyTarget, type ToyOptions } from './toy-executor.ts';

/** Milliseconds of a pass by its rows. */
type Pass = (rows: number) => number;

const toy: ToyOptions = { vocabularySize: 64, contextLength: 2000 };
/** The text repeats nothing that branches of the past could use: each token follows from all before. */
const restless = (logits: Float32Array, position: number): void => {
  for (const id of logits.keys()) logits[id] = (logits[id] ?? 0) + 14 * uniformAt(id, position);
};
/** The same but for noise: right for about four tokens of five. */
const blurred = (logits: Float32Array, position: number): void => {
  restless(logits, position);
  for (const id of logits.keys()) logits[id] = (logits[id] ?? 0) + 2.5 * uniformAt(1000 + id, position);
};

/** A tenth more or less, and in one pass of ten half as much again. */
function disturbed(pass: Pass): Pass {
  let passes = 0;
  return (rows) => {
    const draw = uniformAt(11, passes++);
    return pass(rows) * (draw < 0.9 ? 0.95 + 0.1 * draw : 1.5);
  };
}

async function tokensPerSecond(
  decoder: ProposerName,
  fallback: FallbackName,
  targetPass: Pass,
  draftPass: Pass,
): Promise<number> {
  let now = 0;
  const clock = () => now;
  const target = await openToyTarget({ ...toy, alter: restless }, [1, 2, 3, 4, 5, 6, 7, 8]);
  const draft = openToyDraft({ ...toy, alter: blurred });
  for (const [executor, pass] of [
    [target.executor, disturbed(targetPass)],
    [draft.executor, draftPass],
  ] as const) {
    const run = executor.run.bind(executor);
    executor.run = async (step, options) => {
      const result = await run(step, options);
      now += pass(step.rows.length);
      return result;
    };
  }
  const proposer = openProposer(decoder, { draft, fallback, clock });
  const maxTokens = 500;
  for await (const _ of decode({ ...target, clock }, proposer, { maxTokens }));
  return (1000 * maxTokens) / now;
}

const draftPass: Pass = (rows) => 4 + rows;
const machines: Readonly<Record<string, Pass>> = {
  'layers are read for longer than 24 rows compute': (rows) => Math.max(370, 50 + 13 * rows),
  'the same for 12 rows': (rows) => Math.max(370, 50 + 26 * rows),
  'weights are in memory, and rows dear': (rows) => 20 + 10 * rows,
  'weights are in memory, and rows cheap': (rows) => 25 + 4 * rows,
};

for (const [name, pass] of Object.entries(machines)) {
  test(`${name}: measured costs choose as well as any fixed tree, and auto loses little of it`, async () => {
    const rate = (decoder: ProposerName, fallback: FallbackName) =>
      tokensPerSecond(decoder, fallback, pass, draftPass);
    const [plain, chain, bush] = [
      await rate('plain', 'cost'),
      await rate('tree', 'chain'),
      await rate('tree', 'bush'),
    ];
    const [cost, auto] = [await rate('tree', 'cost'), await rate('auto', 'cost')];
    const note = [plain, chain, bush, cost, auto].map((each) => each.toFixed(2)).join(', ');
    assert.ok(cost > 0.98 * Math.max(plain, chain, bush), note);
    assert.ok(auto > 0.95 * cost, note);
  });
}
