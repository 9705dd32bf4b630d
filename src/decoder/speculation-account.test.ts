import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SpeculationAccount } from './speculation-account.ts';

test('where nothing is ever accepted, spending stays below a twentieth of 256 tokens and more', () => {
  for (const cost of [0.1, 0.7, 3]) {
    const account = new SpeculationAccount();
    let spent = 0;
    for (let token = 1; token <= 1000; token++) {
      account.grow(1);
      if (account.passes >= cost) {
        account.settle(0, cost);
        spent += cost;
      }
      if (token >= 256) assert.ok(spent <= token / 20, `${spent} passes in ${token} tokens`);
    }
    assert.ok(spent > 20, 'it is tried from time to time');
  }
});

test('what is earned may be spent, but is not saved up for ever', () => {
  const account = new SpeculationAccount();
  for (let step = 0; step < 100; step++) account.settle(5, 1);
  assert.equal(account.passes, 16);
  account.settle(0, 20);
  assert.equal(account.passes, -4);
  account.grow(96);
  assert.equal(account.passes, -2);
});
