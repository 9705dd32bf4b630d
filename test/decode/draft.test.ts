/** Decoding with a draft over toy models: what is computed, what a failing draft does, what speculation may cost. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NearfieldError } from '../../src/base/error.ts';
import { uniformAt } from '../../src/base/random.ts';
import {
  decode,
  type FallbackName,
  fallbackNames,
  openProposer,
  type SamplingOptions,
} from '../../src/decoder.ts';
import { contrary, longWaits, openToyDraft, type ToyDraft } from './toy-draft.ts';
import { openToyTarget, type ToyOptions } from './toy-executor.ts';
import { checkConsistent, collect } from './toy-run.ts';

const vocabularySize = 24;
const toy: ToyOptions = { vocabularySize, contextLength: 2000 };
const prompt = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3];
const blur = (logits: Float32Array, position: number): void => {
  for (const id of logits.keys()) logits[id] = (logits[id] ?? 0) + 2 * uniformAt(id, position);
};

const samplings: SamplingOptions[] = [
  {},
  { temperature: 1, seed: 3 },
  { temperature: 0.7, seed: 4, topK: 12, topP: 0.9, repetitionPenalty: 1.2, penaltyWindow: 9 },
];

async function plainIds(maxTokens: number, sampling: SamplingOptions = {}): Promise<readonly number[]> {
  const target = await openToyTarget(toy, prompt);
  return (await collect(target, openProposer('plain'), { maxTokens, sampling })).ids;
}

/** So many turns of the event loop, in which others can work. */
async function pass(turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}

test('a draft that thinks as the target does foresees everything, drawn tokens too', async () => {
  for (const sampling of samplings) {
    const draft = openToyDraft(toy);
    const target = await openToyTarget(toy, prompt);
    const proposer = openProposer('tree', { draft, fallback: 'adaptive' });
    const { ids, stats } = await collect(target, proposer, { maxTokens: 300, sampling });
    assert.deepEqual(ids, await plainIds(300, sampling));
    // A guess is wrong only where the branching puts another beside it.
    assert.ok(stats.steps < 60, `${stats.steps} steps, ${stats.accepted} of ${stats.proposed}`);
    // Each token's row is computed once, and those of other branches, of which a few had no room in their tree.
    const rows = prompt.length + ids.length + stats.proposed - stats.accepted;
    assert.ok(
      draft.executor.rowCount <= rows + stats.steps,
      `${draft.executor.rowCount} rows, ${rows} expected`,
    );
    proposer.close?.();
    assert.equal(draft.open.size, 0);
  }
});

/**
 * A target that waits in each verification, for so many turns of the event loop, on a clock by which verifications take 100
 * and passes of the draft 10, but for those beside a verification, which nothing waits for.
 */
async function openIdle(draft: ToyDraft, turns: number) {
  let [now, verifying] = [0, false];
  const clock = () => now;
  const target = await openToyTarget({ ...toy, duringRun: () => pass(turns) }, prompt);
  const verify = target.executor.run.bind(target.executor);
  target.executor.run = async (step, options) => {
    verifying = true;
    try {
      return await verify(step, options);
    } finally {
      verifying = false;
      now += 100;
    }
  };
  const run = draft.executor.run.bind(draft.executor);
  let beside = 0;
  draft.executor.run = (step, options) => {
    if (verifying) beside++;
    else now += 10;
    return run(step, options);
  };
  const proposer = openProposer('tree', { draft, fallback: 'adaptive', clock });
  return { target: { ...target, waitedMs: longWaits(), clock }, proposer, beside: () => beside };
}

test('while a verification waits, the draft goes on, and what was right is not computed again', async () => {
  for (const sampling of samplings) {
    for (const alter of [undefined, blur]) {
      const draft = openToyDraft({ ...toy, ...(alter ? { alter } : {}) });
      const { target, proposer } = await openIdle(draft, 40);
      const seen: (readonly number[])[] = [];
      const options = { maxTokens: 120, sampling, onProvisional: (ids: readonly number[]) => seen.push(ids) };
      const { ids, stats } = await collect(target, proposer, options);
      assert.deepEqual(ids, await plainIds(120, sampling));
      checkConsistent(target, 'idle');
      const { provisionalKept = 0, provisionalDropped = 0 } = stats.speculation ?? {};
      assert.ok(provisionalKept > 8, `${provisionalKept} kept, ${provisionalDropped} dropped`);
      if (alter) assert.ok(provisionalDropped > 5, `${provisionalDropped} dropped`);
      assert.ok(
        seen.some((guesses) => guesses.length > 3),
        'guesses were shown',
      );
      assert.deepEqual(seen.at(-1), [], 'and taken back');
      const rows = prompt.length + ids.length + stats.proposed - stats.accepted + provisionalDropped;
      // Behind the last token guesses may stand that nobody asked for any more.
      assert.ok(draft.executor.rowCount <= rows + 64, `${draft.executor.rowCount} rows, ${rows} expected`);
    }
  }
});

test('without idle time nothing is drafted during a verification', async () => {
  const draft = openToyDraft({ ...toy, alter: blur });
  let verifying = false;
  const duringRun = async () => {
    verifying = true;
    await pass(20);
    verifying = false;
  };
  const target = await openToyTarget({ ...toy, duringRun }, prompt);
  const run = draft.executor.run.bind(draft.executor);
  draft.executor.run = (step, options) => {
    assert.equal(verifying, false);
    return run(step, options);
  };
  const { stats } = await collect(target, openProposer('tree', { draft, fallback: 'adaptive' }), {
    maxTokens: 60,
  });
  assert.ok((stats.speculation?.draftPasses ?? 0) > 20);
  assert.equal(stats.speculation?.provisionalKept, 0);
});

test('a draft whose context is shorter drops out, and gives its memory back', async () => {
  const draft = openToyDraft({ ...toy, alter: blur, contextLength: 40 });
  const target = await openToyTarget(toy, prompt);
  const { ids, stats } = await collect(target, openProposer('tree', { draft, fallback: 'adaptive' }), {
    maxTokens: 120,
  });
  assert.deepEqual(ids, await plainIds(120));
  assert.equal(stats.speculation?.draftEnd, 'context-full');
  assert.equal(draft.open.size, 0);
});

/** A draft whose run number `at` does something else first. */
function troubledDraft(at: number, trouble: () => void | Promise<void>): ToyDraft {
  let runs = 0;
  return openToyDraft({
    ...toy,
    alter: blur,
    duringRun: () => (++runs === at ? trouble() : undefined),
  });
}

test('a draft without memory drops out; one that fails otherwise ends the decoding with its error', async () => {
  const plain = await plainIds(80);
  for (const code of ['out-of-budget', 'context-full', 'backend'] as const) {
    for (const at of [1, 2, 7, 20]) {
      const draft = troubledDraft(at, () => {
        throw new NearfieldError(code, 'No');
      });
      const target = await openToyTarget(toy, prompt);
      const proposer = openProposer('tree', { draft, fallback: 'adaptive' });
      const run = collect(target, proposer, { maxTokens: 80 });
      if (code === 'backend') {
        await assert.rejects(run, { code });
        checkConsistent(target, code);
      } else {
        const { ids, stats } = await run;
        assert.deepEqual(ids, plain);
        assert.equal(stats.speculation?.draftEnd, code);
      }
      assert.equal(draft.open.size, 0, 'memory is given back');
      const wanted = prompt.length + 80 - target.tokens.length;
      await collect(target, proposer, { maxTokens: wanted });
      assert.deepEqual(target.tokens.slice(prompt.length), plain, 'and it goes on');
    }
  }
});

test('a target that lacks memory gets the draft’s', async () => {
  const draft = openToyDraft({ ...toy, alter: blur });
  let steps = 0;
  const duringRun = () => {
    if (++steps >= 5 && draft.open.size > 0) throw new NearfieldError('out-of-budget', 'No room');
  };
  const target = await openToyTarget({ ...toy, duringRun }, prompt);
  const { ids, stats } = await collect(target, openProposer('tree', { draft, fallback: 'adaptive' }), {
    maxTokens: 80,
  });
  assert.deepEqual(ids, await plainIds(80));
  assert.equal(stats.speculation?.draftEnd, 'out-of-budget');
  const lacking = await openToyTarget(
    { ...toy, duringRun: () => Promise.reject(new NearfieldError('out-of-budget', 'No')) },
    prompt,
  );
  await assert.rejects(collect(lacking, openProposer('tree', { draft }), { maxTokens: 5 }), {
    code: 'out-of-budget',
  });
});

test('an abort in the middle of drafting or of provisional tokens leaves both timelines whole', async () => {
  const plain = await plainIds(80);
  let beside = 0;
  for (const at of [1, 2, 12, 30, 60, 61, 62, 90, 91]) {
    const controller = new AbortController();
    const draft = troubledDraft(at, () => controller.abort());
    const idle = await openIdle(draft, 6);
    const { target, proposer } = idle;
    const { ids, stats } = await collect(target, proposer, { maxTokens: 80, signal: controller.signal });
    assert.equal(stats.finish, 'aborted', `run ${at}`);
    assert.deepEqual(ids, plain.slice(0, ids.length));
    checkConsistent(target, `run ${at}`);
    beside += idle.beside();
    const rest = await collect(target, proposer, { maxTokens: 80 - ids.length });
    assert.deepEqual([...ids, ...rest.ids], plain);
    proposer.close?.();
    assert.equal(draft.open.size, 0);
  }
  assert.ok(beside > 10, `${beside} passes beside verifications`);
});

test('a consumer that leaves while the draft works ends both', async () => {
  const draft = openToyDraft({ ...toy, alter: blur });
  const { target, proposer, beside } = await openIdle(draft, 10);
  let count = 0;
  for await (const _ of decode(target, proposer, { maxTokens: 80 })) if (++count === 13) break;
  assert.ok(beside() > 0);
  const rowsThen = draft.executor.rowCount;
  await pass(20);
  assert.equal(draft.executor.rowCount, rowsThen, 'nothing goes on behind it');
  assert.deepEqual(target.tokens.slice(prompt.length), (await plainIds(80)).slice(0, 13));
  checkConsistent(target, 'left');
});

test('a draft that fails beside a verification ends the decoding with its error, and a target that does with its own', async () => {
  for (const at of [30, 60, 61, 62, 90, 91]) {
    const draft = troubledDraft(at, () => {
      throw new NearfieldError('backend', 'The draft is lost');
    });
    const { target, proposer } = await openIdle(draft, 6);
    await assert.rejects(collect(target, proposer, { maxTokens: 80 }), { message: 'The draft is lost' });
    checkConsistent(target, `run ${at}`);
    assert.equal(draft.open.size, 0);
  }
});

test('a text that is cut and continued otherwise is followed by the draft', async () => {
  for (const fallback of fallbackNames) {
    const draft = openToyDraft({ ...toy, alter: blur });
    const proposer = openProposer('tree', { draft, fallback });
    const target = await openToyTarget(toy, prompt);
    await collect(target, proposer, { maxTokens: 60 });
    target.tokens.length = prompt.length + 20;
    target.sequence.forget(target.tokens.length - 1);
    target.tokens[target.tokens.length - 1] = 11;
    const fresh = await openToyTarget(toy, target.tokens);
    const { ids } = await collect(target, proposer, { maxTokens: 60 });
    assert.deepEqual(ids, (await collect(fresh, openProposer('plain'), { maxTokens: 60 })).ids);
  }
});

test('a draft whose vocabulary is padded, or less padded, than the target’s', async () => {
  for (const size of [32, 20]) {
    const draft = openToyDraft({ ...toy, vocabularySize: size, alter: blur });
    for (const sampling of samplings) {
      const target = await openToyTarget(toy, prompt);
      const proposer = openProposer('tree', { draft, fallback: 'adaptive' });
      const { ids } = await collect(target, proposer, { maxTokens: 80, sampling });
      assert.deepEqual(ids, await plainIds(80, sampling), `${size} pieces`);
    }
  }
});

/** Decoding on a clock that steps cost what they are said to. */
async function timed(
  decoder: 'plain' | 'auto',
  fallback: FallbackName,
  costs: { readonly row: number; readonly draftPass: number; readonly draftRow: number },
  promptLength: number,
): Promise<{ readonly ms: number; readonly draftMs: number }> {
  let [now, draftMs] = [0, 0];
  const clock = () => now;
  const long = Array.from({ length: promptLength }, (_, index) => (index * 7 + index ** 2) % vocabularySize);
  const target = await openToyTarget(toy, long);
  const draft = openToyDraft({ ...toy, alter: contrary });
  for (const [executor, base, row] of [
    [target.executor, 100 - costs.row, costs.row],
    [draft.executor, costs.draftPass, costs.draftRow],
  ] as const) {
    const run = executor.run.bind(executor);
    executor.run = async (step, options) => {
      const result = await run(step, options);
      const elapsedMs = base + row * step.rows.length;
      now += elapsedMs;
      if (executor === draft.executor) draftMs += elapsedMs;
      return result;
    };
  }
  const proposer = openProposer(decoder, { draft, fallback, clock });
  await collect({ ...target, clock }, proposer, { maxTokens: 256, sampling: { temperature: 3, seed: 5 } });
  return { ms: now, draftMs };
}

test('auto: a draft that is always wrong costs at most a twentieth', async () => {
  for (const fallback of ['adaptive', 'cost'] as const) {
    for (const costs of [
      { row: 2, draftPass: 5, draftRow: 1 },
      { row: 40, draftPass: 10, draftRow: 4 },
      { row: 90, draftPass: 60, draftRow: 40 },
      { row: 5, draftPass: 100, draftRow: 60 },
    ]) {
      for (const promptLength of [8, 300]) {
        const plain = await timed('plain', fallback, costs, promptLength);
        const auto = await timed('auto', fallback, costs, promptLength);
        const note = `${fallback}, ${JSON.stringify(costs)}, prompt of ${promptLength}: ${auto.ms} and ${plain.ms}`;
        assert.ok(auto.ms <= 1.05 * plain.ms, note);
        assert.ok(auto.draftMs > 0, `${note}: it was not tried`);
      }
    }
  }
});
