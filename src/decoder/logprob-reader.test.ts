import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LogprobReader } from './logprob-reader.ts';

test('log-probabilities of raw logits, the likeliest first, the lowest id among equals', () => {
  const probabilities = [0.1, 0.2, 0.05, 0.2, 0.25, 0.2];
  const logits = Float64Array.from(probabilities, (probability) => Math.log(probability) + 700);
  const { logprob, top } = new LogprobReader(4, 6).read(logits, 2);
  assert.ok(Math.abs(logprob - Math.log(0.05)) < 1e-12);
  assert.deepEqual(
    top.map(({ id }) => id),
    [4, 1, 3, 5],
  );
  for (const entry of top) {
    assert.ok(Math.abs(entry.logprob - Math.log(probabilities[entry.id] ?? 0)) < 1e-12, `token ${entry.id}`);
  }
});

test('a banned token has no probability and is not named', () => {
  const logits = Float32Array.of(0, Number.NEGATIVE_INFINITY, 0);
  const { logprob, top } = new LogprobReader(3, 3).read(logits, 1);
  assert.equal(logprob, Number.NEGATIVE_INFINITY);
  assert.deepEqual(top, [
    { id: 0, logprob: -Math.log(2) },
    { id: 2, logprob: -Math.log(2) },
  ]);
});

test('counts out of range and broken logits', () => {
  for (const count of [0, -1, 1.5, 4, Number.NaN]) {
    assert.throws(() => new LogprobReader(count, 3), { code: 'bad-argument' });
  }
  assert.throws(() => new LogprobReader(1, 3).read(Float32Array.of(0, Number.NaN, 0), 0), {
    code: 'backend',
  });
});
