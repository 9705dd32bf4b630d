/** Every way for a decoding to end leaves a timeline that goes on as if nothing had happened. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NearfieldError } from '../../src/base/error.ts';
import { decode, openProposer, type Proposer, proposerNames } from '../../src/decoder.ts';
import { openToyTarget, type ToyOptions } from './toy-executor.ts';
import { rightProposer, wildProposer } from './toy-proposers.ts';
import { checkConsistent, collect } from './toy-run.ts';

const vocabularySize = 24;
const toy: ToyOptions = { vocabularySize };
const prompt = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3];

test('an end id in the middle of an accepted path drops what follows', async () => {
  const endAt = prompt.length + 5;
  const alter = (logits: Float32Array, position: number) => {
    logits[0] = position === endAt ? 99 : -99;
  };
  const options = { maxTokens: 40, endIds: new Set([0]) };
  const plainTarget = await openToyTarget({ ...toy, alter }, prompt);
  const plain = await collect(plainTarget, openProposer('plain'), { maxTokens: 40 });
  assert.equal(plain.ids[5], 0);
  const target = await openToyTarget({ ...toy, alter }, prompt);
  const run = await collect(target, rightProposer(plainTarget.tokens), options);
  assert.deepEqual(run.ids, plain.ids.slice(0, 5));
  assert.deepEqual(target.tokens, [...prompt, ...plain.ids.slice(0, 6)]);
  assert.equal(run.stats.finish, 'end');
  assert.deepEqual([run.stats.steps, run.stats.accepted], [1, 6]);
  checkConsistent(target, 'end');
  // The conversation goes on behind the end id as plain decoding would.
  const more = await collect(target, rightProposer(plainTarget.tokens), { maxTokens: 34 });
  assert.deepEqual(more.ids, plain.ids.slice(6));
});

test('a consumer that leaves keeps what it was given, and may go on', async () => {
  const sampling = { temperature: 1, seed: 6, repetitionPenalty: 1.1 };
  const plainTarget = await openToyTarget(toy, prompt);
  const plain = await collect(plainTarget, openProposer('plain'), { maxTokens: 80, sampling });
  for (const leaveAfter of [1, 2, 3, 10, 63, 64, 65]) {
    const target = await openToyTarget(toy, prompt);
    const decoding = decode(target, wildProposer(plainTarget.tokens, vocabularySize, leaveAfter), {
      maxTokens: 80,
      sampling,
    });
    let count = 0;
    for await (const _ of decoding) if (++count === leaveAfter) break;
    assert.equal(decoding.stats.finish, 'stop');
    assert.deepEqual(target.tokens, [...prompt, ...plain.ids.slice(0, leaveAfter)]);
    checkConsistent(target, `left after ${leaveAfter}`);
    const rest = await collect(target, openProposer('lookup'), { maxTokens: 80 - leaveAfter, sampling });
    assert.deepEqual(rest.ids, plain.ids.slice(leaveAfter), `left after ${leaveAfter}`);
  }
  const untouched = await openToyTarget(toy, prompt);
  await decode(untouched, openProposer('plain'), { maxTokens: 5 }).return({} as never);
  checkConsistent(untouched, 'never begun');
});

test('an abort ends the iteration, wherever it comes', async () => {
  const plainTarget = await openToyTarget(toy, prompt);
  const plain = await collect(plainTarget, openProposer('plain'), { maxTokens: 40 });
  for (const moment of ['before', 'propose', 'run', 'consume']) {
    const controller = new AbortController();
    const { signal } = controller;
    let runs = 0;
    const duringRun = () => {
      if (moment === 'run' && ++runs === 3) controller.abort();
    };
    const target = await openToyTarget({ ...toy, duringRun }, prompt);
    if (moment === 'before') controller.abort();
    const text = plainTarget.tokens;
    const inner = moment === 'consume' ? rightProposer(text) : wildProposer(text, vocabularySize, 8);
    let proposals = 0;
    const proposer: Proposer = {
      ...inner,
      propose(tokens, limit, given) {
        if (moment === 'propose' && ++proposals === 3) controller.abort(new Error('enough'));
        given?.throwIfAborted();
        return inner.propose(tokens, limit);
      },
    };
    const decoding = decode(target, proposer, { maxTokens: 40, signal });
    const ids: number[] = [];
    for await (const { id } of decoding) {
      ids.push(id);
      if (moment === 'consume' && ids.length === 5) controller.abort();
    }
    assert.equal(decoding.stats.finish, 'aborted', moment);
    assert.deepEqual(ids, plain.ids.slice(0, ids.length), moment);
    assert.deepEqual(target.tokens, [...prompt, ...ids], moment);
    checkConsistent(target, moment);
    assert.equal(ids.length, { before: 0, consume: 5 }[moment] ?? ids.length, moment);
    const rest = await collect(target, openProposer('plain'), { maxTokens: 40 - ids.length });
    assert.deepEqual(rest.ids, plain.ids.slice(ids.length), moment);
  }
});

test('a failure leaves the timeline as it was after the last token emitted', async () => {
  const plainTarget = await openToyTarget(toy, prompt);
  const plain = await collect(plainTarget, openProposer('plain'), { maxTokens: 60 });
  let countdown = -1;
  const fail = () => {
    if (--countdown === 0) throw new NearfieldError('backend', 'The toy is lost');
  };
  for (const moment of ['duringRun', 'beforeMove', 'propose', 'observe'] as const) {
    const hook = moment === 'duringRun' || moment === 'beforeMove' ? { [moment]: fail } : {};
    const target = await openToyTarget({ ...toy, ...hook }, prompt);
    const inner = wildProposer(plainTarget.tokens, vocabularySize, 12);
    const proposer: Proposer = {
      name: 'failing',
      propose(tokens, limit) {
        if (moment === 'propose') fail();
        return inner.propose(tokens, limit);
      },
      observe() {
        if (moment === 'observe') fail();
      },
    };
    countdown = 3;
    const decoding = decode(target, proposer, { maxTokens: 60 });
    const ids: number[] = [];
    await assert.rejects(
      async () => {
        for await (const { id } of decoding) ids.push(id);
      },
      { code: 'backend' },
      moment,
    );
    assert.equal(decoding.stats.finish, undefined);
    assert.ok(ids.length > 0, moment);
    assert.deepEqual(target.tokens, [...prompt, ...ids], moment);
    checkConsistent(target, moment);
    countdown = -1;
    const rest = await collect(target, openProposer('plain'), { maxTokens: 60 - ids.length });
    assert.deepEqual([...ids, ...rest.ids], plain.ids, moment);
  }
});

test('logits that are not numbers end a decoding with a typed error', async () => {
  for (const sampling of [{ temperature: 1 }, { presencePenalty: 1 }]) {
    const alter = (logits: Float32Array, position: number) => {
      if (position === prompt.length + 3) logits[5] = Number.NaN;
    };
    const target = await openToyTarget({ ...toy, alter }, prompt);
    await assert.rejects(collect(target, openProposer('plain'), { maxTokens: 10, sampling }), {
      code: 'backend',
    });
    assert.equal(target.tokens.length, prompt.length + 3);
    checkConsistent(target, 'NaN');
  }
});

test('the context: every row is used, then the decoding finishes', async () => {
  for (const name of proposerNames) {
    const target = await openToyTarget({ ...toy, contextLength: 20 }, prompt);
    const { stats } = await collect(target, openProposer(name), { maxTokens: 100 });
    assert.equal(stats.finish, 'context');
    assert.equal(target.tokens.length, 21);
    assert.equal(target.sequence.committed, 20);
    const again = await collect(target, openProposer(name), { maxTokens: 100 });
    assert.deepEqual([again.ids, again.stats.finish], [[], 'context']);
  }
});
