import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { withPatience } from './patience.ts';

const never = (until: AbortSignal | undefined): Promise<never> =>
  new Promise((_, reject) => until?.addEventListener('abort', () => reject(until.reason)));

/** Lets what waits for the clock go on. */
async function pass(ms: number): Promise<void> {
  mock.timers.tick(ms);
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

const timers = ['setTimeout', 'setInterval'] as const;

test('what stays silent is begun anew, and the last start is waited for', async () => {
  mock.timers.enable({ apis: [...timers] });
  try {
    let starts = 0;
    let hear = () => {};
    const answer = withPatience(undefined, (until, heard) => {
      hear = heard;
      return ++starts < 3
        ? never(until)
        : new Promise<number>((resolve) => setTimeout(resolve, 60_000, starts));
    });
    // Its script may be long on its way.
    await pass(30_000);
    hear();
    await pass(5_999);
    assert.equal(starts, 1);
    await pass(1);
    assert.equal(starts, 2);
    hear();
    await pass(15_000);
    assert.equal(starts, 3);
    await pass(60_000);
    assert.equal(await answer, 3);
  } finally {
    mock.timers.reset();
  }
});

test('what is heard of goes on; failures and the caller end it', async () => {
  mock.timers.enable({ apis: [...timers] });
  try {
    let [starts, hear] = [0, () => {}];
    const caller = new AbortController();
    const answer = withPatience(caller.signal, (until, heard) => {
      starts++;
      hear = heard;
      return never(until);
    });
    for (let second = 0; second < 20; second++) {
      hear();
      await pass(1_000);
    }
    assert.equal(starts, 1);
    caller.abort(new Error('enough'));
    await assert.rejects(answer, /enough/);
    const broken = withPatience(new AbortController().signal, () => Promise.reject(new Error('broken')));
    await assert.rejects(broken, /broken/);
    assert.equal(starts, 1);
  } finally {
    mock.timers.reset();
  }
});
