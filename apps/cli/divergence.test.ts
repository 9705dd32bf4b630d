import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DivergenceMeter, klDivergence, Prediction } from './divergence.ts';

/** Logits of given probabilities; a constant added to them changes nothing. */
const logits = (probabilities: readonly number[], shift = 0): Float64Array =>
  Float64Array.from(probabilities, (p) => Math.log(p) + shift);

test('the divergence is that of the distributions', () => {
  const [truth, guess] = [logits([0.5, 0.25, 0.25], 7), logits([0.25, 0.5, 0.25], -300)];
  assert.ok(Math.abs(klDivergence(truth, guess) - 0.25 * Math.log(2)) < 1e-12);
  assert.ok(klDivergence(truth, truth) < 1e-12);
  // Probabilities that are no floats.
  const thirds = [logits([0.7, 0.2, 0.1]), logits([0.6, 0.3, 0.1])] as const;
  const exact = 0.7 * Math.log(7 / 6) + 0.2 * Math.log(2 / 3);
  assert.ok(Math.abs(klDivergence(...thirds) - exact) < 1e-8);
});

test('means are over the rows of all windows', () => {
  const meter = new DivergenceMeter();
  const [a, b] = [logits([0.5, 0.25, 0.25]), logits([0.25, 0.5, 0.25])];
  meter.keep(new Prediction(a));
  meter.keep(new Prediction(a));
  meter.add(b);
  meter.add(a);
  meter.clear();
  meter.keep(new Prediction(b));
  meter.add(b);
  const { meanKl, meanKlError, topAgreement } = meter.result();
  const kl = 0.25 * Math.log(2);
  assert.ok(Math.abs(meanKl - kl / 3) < 1e-12);
  assert.ok(Math.abs(meanKlError - Math.sqrt((kl ** 2 / 3 - (kl / 3) ** 2) / 2)) < 1e-12);
  assert.ok(Math.abs(topAgreement - 2 / 3) < 1e-12);
});
