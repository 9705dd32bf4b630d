import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openComputeGate } from './compute-gate.ts';

const never = (): void => assert.fail('the turn began');

test('one at a time has the cores, and the other is told when they are free', () => {
  const { target, draft } = openComputeGate();
  const order: string[] = [];
  assert.equal(draft.enter(never), true);
  assert.equal(
    target.enter(() => order.push('target')),
    false,
  );
  assert.equal(order.length, 0);
  draft.leave();
  assert.deepEqual(order, ['target']);
  assert.equal(
    draft.enter(() => order.push('draft')),
    false,
  );
  target.leave();
  assert.deepEqual(order, ['target', 'draft']);
  draft.leave();
  assert.equal(target.enter(never), true);
});

test('who has withdrawn is passed over, and may ask again', () => {
  const { target, draft } = openComputeGate();
  assert.equal(draft.enter(never), true);
  target.enter(never);
  target.withdraw();
  target.withdraw();
  draft.leave();
  assert.equal(target.enter(never), true);
  // Withdrawing does not give back what one has.
  target.withdraw();
  assert.equal(
    draft.enter(() => {}),
    false,
  );
});

test('a turn may end while it begins', () => {
  const { target, draft } = openComputeGate();
  let began = 0;
  assert.equal(target.enter(never), true);
  draft.enter(() => {
    began++;
    draft.leave();
  });
  target.leave();
  assert.equal(began, 1);
  assert.equal(target.enter(never), true);
});

test('asking twice and giving back what one does not have are bugs', () => {
  const { target, draft } = openComputeGate();
  target.enter(never);
  assert.throws(() => target.enter(never), { code: 'internal' });
  assert.throws(() => draft.leave(), { code: 'internal' });
  draft.enter(() => {});
  assert.throws(() => draft.enter(never), { code: 'internal' });
});
