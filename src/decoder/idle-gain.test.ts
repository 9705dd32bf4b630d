import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IdleGain } from './idle-gain.ts';

/** Of so many verifications, how many are drafted beside. */
function used(gain: IdleGain, rounds: number, extraPerPass: number, kept: number): number {
  let count = 0;
  for (let round = 0; round < rounds; round++) {
    if (!gain.isWorth(10)) continue;
    count++;
    gain.observe(5, 5 * extraPerPass);
    gain.settle(kept, 5 - kept);
  }
  return count;
}

test('it goes on where it costs the verification nothing, with a pause now and then', () => {
  assert.equal(used(new IdleGain(), 160, 0, 2), 150);
});

test('it stops where the verification gets longer by more than is saved, is tried again, and comes back', () => {
  const gain = new IdleGain();
  const dear = used(gain, 640, 8, 2);
  assert.ok(dear >= 20 && dear < 60, `${dear} of 640`);
  assert.equal(gain.extraOf(3) > 12, true);
  assert.ok(used(gain, 640, 0, 2) > 300);
});

test('it stops where nothing of it is of use', () => {
  assert.ok(used(new IdleGain(), 640, 1, 0) < 100);
});
