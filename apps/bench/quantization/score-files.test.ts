import assert from 'node:assert/strict';
import { test } from 'node:test';
import { comparePerplexities, perplexityOf, type TextScore } from './score-files.ts';

const scoreOf = (losses: readonly number[]): TextScore => {
  return { losses, meanKl: 0, meanKlError: 0, topAgreement: 1 };
};

test('perplexities are compared window by window, so that what is hard in a text cancels', () => {
  const other = scoreOf([2, 9, 4, 7]);
  const one = scoreOf([2.01, 9.03, 4.02, 7.02]);
  assert.equal(perplexityOf(other), Math.exp(5.5));
  const { excess, error } = comparePerplexities(one, other);
  assert.ok(Math.abs(excess - Math.expm1(0.02)) < 1e-12, `excess ${excess}`);
  // The differences 0.01, 0.03, 0.02, 0.02 have a variance of 2e-4 / 3 about their mean.
  assert.ok(Math.abs(error - Math.exp(0.02) * Math.sqrt(2e-4 / 3 / 4)) < 1e-12, `error ${error}`);
  const mirrored = comparePerplexities(other, one).excess;
  assert.ok(Math.abs((1 + excess) * (1 + mirrored) - 1) < 1e-12, `the other way round ${mirrored}`);
});
