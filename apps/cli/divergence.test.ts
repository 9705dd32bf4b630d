import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DivergenceMeter, klDivergence } from './divergence.ts';

/** Logits of given probabilities; a constant added to them changes nothing. */
const logits = (probabilities: readonly number[], shift = 0): Float64Array =>
  Float64Array.from(probabilities, (p) => Math.log(p) + shift);

test('the divergence is that of the distributions', () => {
  const [truth, guess] = [logits([0.5, 0.25, 0.25], 7), logits([0.25, 0.5, 0.25], -300)];
  assert.ok(Math.abs(klDivergence(truth, guess) - 0.25 * Math.log(2)) < 1e-12);
  assert.equal(klDivergence(truth, truth), 0);
});

test('means are over the rows of all windows', () => {
  const meter = new DivergenceMeter();
  const [a, b] = [logits([0.5, 0.25, 0.25]), logits([0.25, 0.5, 0.25])];
  meter.keep(a);
  meter.keep(a);
  meter.add(b);
  meter.add(a);
  meter.clear();
  meter.keep(b);
  meter.add(b);
  const { meanKl, meanKlError, topAgreement } = meter.result();
  const kl = 0.25 * Math.log(2);
  assert.ok(Math.abs(meanKl - kl / 3) < 1e-12);
  assert.ok(Math.abs(meanKlError - Math.sqrt((kl ** 2 / 3 - (kl / 3) ** 2) / 2)) < 1e-12);
  assert.ok(Math.abs(topAgreement - 2 / 3) < 1e-12);
});
