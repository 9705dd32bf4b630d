import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StepCosts } from './step-costs.ts';

const near = (actual: number, expected: number, share = 0.05): void =>
  assert.ok(Math.abs(actual - expected) <= share * expected, `${actual} is not near ${expected}`);

test('a line through what was observed', () => {
  const costs = new StepCosts();
  assert.deepEqual([costs.isKnown, costs.at(5), costs.rowMs], [false, 0, 0]);
  for (let round = 0; round < 30; round++) {
    for (const rows of [1, 4, 16]) costs.observe(rows, 20 + 3 * rows);
  }
  near(costs.rowMs, 3);
  near(costs.at(1), 23);
  near(costs.at(30), 110);
});

test('before sizes differ, more rows cost a little more', () => {
  const costs = new StepCosts();
  costs.observe(1, 100);
  near(costs.at(1), 100, 0.1);
  assert.ok(costs.at(10) > 110 && costs.at(10) < 400);
});

test('what changes is followed, one disturbance is not', () => {
  const costs = new StepCosts();
  for (let round = 0; round < 40; round++) costs.observe(1 + (round % 8), 50 + (round % 8));
  const before = costs.at(8);
  costs.observe(8, 5000);
  assert.ok(costs.at(8) < 1.5 * before, `${before} became ${costs.at(8)}`);
  for (let round = 0; round < 200; round++) costs.observe(1 + (round % 8), 200 + 10 * (round % 8));
  near(costs.at(8), 270);
});

test('rows that come in tiles cost in steps', () => {
  const costs = new StepCosts();
  const pass = (rows: number): number => (rows === 1 ? 10 : rows === 2 ? 12 : 10 * Math.ceil(rows / 4) + 10);
  for (let round = 0; round < 30; round++) for (const rows of [1, 2, 4, 8]) costs.observe(rows, pass(rows));
  for (const rows of [1, 2, 4, 8]) near(costs.at(rows), pass(rows));
});

test('a pass that waits for reads costs the same up to where it computes for longer', () => {
  const costs = new StepCosts();
  const pass = (rows: number): number => Math.max(300, 20 * rows);
  for (let round = 0; round < 12; round++) {
    // A tenth more or less, and now and then half as much again.
    const noise = 0.9 + 0.2 * ((round * 7) % 10) * 0.1 + (round % 6 === 3 ? 0.5 : 0);
    for (const rows of [1, 4, 9, 12, 20, 24]) costs.observe(rows, pass(rows) * noise);
  }
  for (const rows of [1, 6, 12]) near(costs.at(rows), 300, 0.1);
  for (const rows of [20, 22, 24]) near(costs.at(rows), 20 * rows, 0.15);
  assert.ok(costs.at(16) - costs.at(12) > 2 * (costs.at(12) - costs.at(4)));
});

test('larger passes are tried by steps', () => {
  const costs = new StepCosts();
  assert.equal(costs.reach, 8);
  for (const [rows, reach] of [
    [1, 8],
    [8, 12],
    [12, 18],
    [4, 18],
  ] as const) {
    costs.observe(rows, 100);
    assert.equal(costs.reach, reach);
  }
});

test('one bad pass of a size is doubted when it is long ago', () => {
  const costs = new StepCosts();
  for (let round = 0; round < 30; round++) costs.observe(8, round % 2 === 0 ? 95 : 105);
  costs.observe(12, 160);
  const soon = costs.at(12);
  for (let round = 0; round < 60; round++) costs.observe(8, round % 2 === 0 ? 95 : 105);
  assert.ok(soon > 140 && costs.at(12) < soon - 5, `${soon} became ${costs.at(12)}`);
});

test('more rows never seem to cost less than one', () => {
  const costs = new StepCosts();
  for (let round = 0; round < 40; round++) costs.observe(1 + (round % 4), 100 - 20 * (round % 4));
  assert.ok(costs.rowMs >= 0);
  for (let rows = 1; rows < 64; rows++) assert.ok(costs.at(rows) >= costs.at(1));
});

test('the first passes of a session are slow and soon forgotten', () => {
  const costs = new StepCosts();
  for (const ms of [90, 40, 10, 10, 10, 10]) costs.observe(1, ms);
  assert.ok(costs.at(1) < 20);
});
