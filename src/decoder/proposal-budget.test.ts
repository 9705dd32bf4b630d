import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Acceptance } from './acceptance.ts';
import { ProposalBudget } from './proposal-budget.ts';

test('the account is never overdrawn, however large the tries', () => {
  const terms = { rowCost: 0.25, allowance: 1 / 32, initialPasses: 3, mostPasses: 16 };
  const budget = new ProposalBudget(terms);
  let spent = 0;
  for (let tokens = 0; tokens < 2000; tokens++) {
    const proposed = Math.min(10, budget.affordable);
    assert.ok(proposed >= 0);
    if (proposed > 0) budget.settle(0, proposed);
    spent += proposed * terms.rowCost;
    assert.ok(
      spent <= terms.initialPasses + tokens * terms.allowance,
      `${spent} spent after ${tokens} tokens`,
    );
    budget.grow(1);
  }
  assert.ok(spent > 50, `${spent} spent`);
});

test('success earns more tries, up to a limit', () => {
  const budget = new ProposalBudget({ rowCost: 0.5, allowance: 0, initialPasses: 1, mostPasses: 8 });
  assert.equal(budget.affordable, 2);
  budget.settle(2, 2);
  assert.equal(budget.affordable, 4);
  for (let round = 0; round < 10; round++) budget.settle(4, 4);
  assert.equal(budget.affordable, 16);
  budget.grow(1000);
  assert.equal(budget.affordable, 16);
});

test('acceptance is learnt per kind and fades', () => {
  const acceptance = new Acceptance(2);
  const atFirst = acceptance.share(0);
  for (let round = 0; round < 200; round++) acceptance.learn(0, round % 2, 4);
  // Half of the tries get one right and one wrong, half get one wrong: 1 of 3.
  assert.ok(Math.abs(acceptance.share(0) - 1 / 3) < 0.1, `${acceptance.share(0)}`);
  assert.equal(acceptance.share(1), atFirst);
  assert.equal(acceptance.worthwhileLength(0, 0.5), 0);
  assert.ok(acceptance.worthwhileLength(0, 0.1) >= 1);
  for (let round = 0; round < 1000; round++) acceptance.leave(0);
  assert.ok(Math.abs(acceptance.share(0) - atFirst) < 0.01);
  for (let round = 0; round < 100; round++) acceptance.learn(0, 4, 4);
  assert.ok(acceptance.worthwhileLength(0, 0.5) > 10);
});
