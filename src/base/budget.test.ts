import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openBudget } from './budget.ts';
import { printBytes } from './print-bytes.ts';

const MiB = 2 ** 20;

test('a budget counts reservations, their changes and their release', () => {
  const budget = openBudget(100);
  const weights = budget.reserve(60, 'weights');
  const arena = budget.reserve(30, 'arena');
  assert.equal(budget.reservedBytes, 90);
  arena.resize(40);
  assert.equal(arena.bytes, 40);
  assert.equal(budget.reservedBytes, 100);
  weights.release();
  weights.release();
  assert.equal(weights.bytes, 0);
  assert.equal(budget.reservedBytes, 40);
  assert.throws(() => weights.resize(1), { code: 'internal' });
});

test('a refusal names the purpose, the lack, the holders and the budget that would do, and changes nothing', () => {
  const budget = openBudget(100 * MiB);
  budget.reserve(60 * MiB, 'weights');
  const refused = {
    code: 'out-of-budget',
    message:
      'No room for the arena: it needs 50.0 MiB, but 40.0 MiB of the memory budget of 100.0 MiB is left ' +
      '(in use: weights 60.0 MiB), 10.0 MiB too little; a budget of 115343360 bytes (110.0 MiB) would do, or fewer rows',
  };
  assert.throws(() => budget.reserve(50 * MiB, 'the arena', 'fewer rows'), refused);
  assert.equal(budget.reservedBytes, 60 * MiB);
  const cache = budget.reserve(10 * MiB, 'cache');
  assert.throws(() => cache.resize(41 * MiB), { code: 'out-of-budget' });
  assert.equal(cache.bytes, 10 * MiB);
  assert.doesNotThrow(() => openBudget(115343360).reserve(115343360, 'everything'));
});

test('a limit may be changed, but not below what is held', () => {
  const budget = openBudget(100 * MiB);
  const weights = budget.reserve(60 * MiB, 'weights');
  assert.throws(() => budget.change(59 * MiB), {
    code: 'out-of-budget',
    message:
      /^A memory budget of 59\.0 MiB is too small .* 60\.0 MiB\); 62914560 bytes \(60\.0 MiB\) would do/,
  });
  assert.equal(budget.limitBytes, 100 * MiB);
  budget.change(60 * MiB);
  assert.throws(() => budget.reserve(1, 'cache'), { code: 'out-of-budget' });
  budget.change(61 * MiB);
  budget.reserve(MiB, 'cache');
  weights.release();
  assert.throws(() => budget.change(-1), { code: 'bad-argument' });
});

test('without a limit nothing is refused and everything is counted', () => {
  const budget = openBudget();
  budget.reserve(2 ** 50, 'weights');
  assert.equal(budget.reservedBytes, 2 ** 50);
  assert.throws(() => openBudget(Number.NaN), { code: 'bad-argument' });
  assert.throws(() => openBudget(-1), { code: 'bad-argument' });
});

test('bytes print in the largest unit that leaves at least one', () => {
  assert.equal(printBytes(1023), '1023 bytes');
  assert.equal(printBytes(1024), '1.0 KiB');
  assert.equal(printBytes(1.5 * 2 ** 30), '1.5 GiB');
});
