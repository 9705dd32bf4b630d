import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CandidateTree } from './candidate-tree.ts';
import { CostFallback } from './cost-fallback.ts';
import { StepCosts } from './step-costs.ts';

/** Passes of `base + row · rows` milliseconds were seen. */
function costs(base: number, row: number): StepCosts {
  const seen = new StepCosts();
  for (let round = 0; round < 40; round++) {
    for (const rows of [1, 5, 20]) seen.observe(rows, base + row * rows);
  }
  return seen;
}

const open = (target: StepCosts, draft: StepCosts | undefined) =>
  new CostFallback({ target, draft: () => draft });

/** The root is computed and has children of these shares. */
function bush(...shares: readonly number[]): CandidateTree {
  const tree = new CandidateTree(0, new Set());
  tree.computed(0, 0, []);
  for (const [rank, share] of shares.entries()) tree.add(0, { token: rank + 1, share });
  return tree;
}

test('what a row costs decides how many are verified', () => {
  const tree = bush(0.5, 0.2, 0.08, 0.04, 0.01);
  const [cheap, dear] = [open(costs(1000, 1), costs(10, 1)), open(costs(100, 40), costs(10, 1))];
  assert.deepEqual(cheap.choose(tree, 63), [1, 2, 3, 4, 5]);
  assert.deepEqual(cheap.choose(tree, 2), [1, 2]);
  assert.deepEqual(dear.choose(tree, 63), [1]);
  assert.deepEqual(open(costs(10, 1000), costs(10, 1)).choose(tree, 63), []);
});

test('rows are free while reads take longer, and those beyond displace others', () => {
  const streamed = new StepCosts();
  for (let round = 0; round < 40; round++) {
    for (const rows of [1, 4, 6, 7, 12]) streamed.observe(rows, Math.max(400, 400 + 100 * (rows - 6)));
  }
  const fallback = open(streamed, costs(4, 1));
  assert.deepEqual(fallback.choose(bush(0.3, 0.2, 0.12, 0.1, 0.08, 0.06, 0.04, 0.02), 63), [1, 2, 3, 4, 5]);
  // Its children would not be among the five.
  const full = bush(0.3, 0.2, 0.12, 0.1, 0.08, 0.06);
  for (const index of [1, 2, 3, 4, 5]) full.computed(index, index, []);
  assert.deepEqual(full.frontier(), [6]);
  assert.deepEqual(fallback.next(full), []);
  // With room for them they would.
  const roomy = bush(0.3, 0.2, 0.06);
  for (const index of [1, 2]) roomy.computed(index, index, []);
  assert.deepEqual(fallback.next(roomy), [3]);
});

test('what a pass of the draft costs decides how far it goes, and all nodes worth it go in one', () => {
  const tree = bush(0.6, 0.3, 0.001);
  assert.deepEqual(open(costs(1000, 1), costs(10, 1)).next(tree), [1, 2]);
  assert.deepEqual(open(costs(1000, 1), costs(1500, 1)).next(tree), []);
  assert.deepEqual(open(costs(1000, 1), undefined).next(tree), []);
});

test('nothing is asked of a draft before a pass of the target is timed, or where it does not pay', () => {
  const unknown = open(new StepCosts(), new StepCosts());
  assert.equal(unknown.wantsDraft(), false);
  assert.deepEqual(unknown.choose(bush(0.9), 63), []);
  assert.equal(open(costs(100, 5), new StepCosts()).wantsDraft(), true, 'a draft not timed yet is tried');
  assert.equal(open(costs(100, 5), costs(500, 5)).wantsDraft(), false);
});

test('a draft that is always wrong is left alone, and tried again later', () => {
  const fallback = open(costs(100, 20), costs(10, 1));
  const tree = bush(0.6);
  tree.computed(0, 0, [{ token: 1, share: 0.6 }]);
  const miss = { tree, chosen: [1], reached: 0, drawn: [7], elapsedMs: 120 };
  for (let round = 0; round < 200; round++) fallback.observe(miss);
  assert.equal(fallback.wantsDraft(), false);
  let quiet = 0;
  while (!fallback.wantsDraft() && quiet < 2000) {
    fallback.observe({ ...miss, chosen: [], tree: bush(), elapsedMs: 100 });
    quiet++;
  }
  assert.ok(quiet > 16 && quiet < 2000, `${quiet} passes`);
});

test('a stated confidence is corrected by what it turned out to be worth', () => {
  const fallback = open(costs(100, 1), costs(1, 1));
  const candidates = [
    { token: 1, share: 0.875 },
    { token: 2, share: 0.125 },
  ];
  assert.deepEqual(fallback.branches(candidates), candidates);
  const tree = bush(0.9);
  tree.computed(0, 0, candidates);
  for (let round = 0; round < 300; round++) {
    fallback.observe({ tree, chosen: [1], reached: 0, drawn: [round % 4 === 0 ? 1 : 2], elapsedMs: 1 });
  }
  const [first = 0, second = 0] = fallback.branches(candidates).map(({ share }) => share);
  assert.ok(Math.abs(first - 0.25) < 0.1 && Math.abs(second - 0.75) < 0.1, `${first}, ${second}`);
});
