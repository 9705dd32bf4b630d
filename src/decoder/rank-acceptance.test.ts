import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uniformAt } from '../base/random.ts';
import { RankAcceptance, rankCount } from './rank-acceptance.ts';

const candidates = [0.6, 0.3, 0.1].map((share, token) => ({ token, share }));

test('the share of each rank is learnt, whichever confidence was stated', () => {
  const ranks = new RankAcceptance();
  const before = ranks.byRank;
  assert.equal(before.length, rankCount);
  for (let round = 0; round < 3000; round++) {
    const dice = uniformAt(1, round);
    ranks.learn(candidates, dice < 0.3 ? 0 : dice < 0.5 ? 1 : 9);
  }
  const [first = 0, second = 0, third = 0] = ranks.byRank;
  assert.ok(Math.abs(first - 0.3) < 0.06 && Math.abs(second - 0.2) < 0.06 && third < 0.01);
  assert.ok(Math.abs(ranks.of(0, 0.6) - 0.3) < 0.08);
  assert.ok(Math.abs(ranks.of(0, 0.99) - 0.99) < 1e-9, 'of other confidences nothing is known yet');
});

test('ranks never rise, and stay within reason before much is known', () => {
  const ranks = new RankAcceptance();
  for (let round = 0; round < 50; round++) ranks.learn(candidates, 1);
  const shares = ranks.byRank;
  for (const [rank, share] of shares.entries()) assert.ok(share > 0 && share <= (shares[rank - 1] ?? 1));
});

test('what is not used is forgotten', () => {
  const ranks = new RankAcceptance();
  const [fresh = 0] = ranks.byRank;
  for (let round = 0; round < 300; round++) ranks.learn(candidates, 9);
  assert.ok((ranks.byRank[0] ?? 1) < 0.05);
  for (let round = 0; round < 600; round++) ranks.leave();
  assert.ok(Math.abs((ranks.byRank[0] ?? 0) - fresh) < 0.01);
});
