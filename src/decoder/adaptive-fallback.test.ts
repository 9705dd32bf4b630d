import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AdaptiveFallback, pacedBranch } from './adaptive-fallback.ts';
import { CandidateTree } from './candidate-tree.ts';

/** A tree whose inner nodes the draft has computed; `shape` are parent and share of each node. */
function treeOf(shape: readonly (readonly [parent: number, share: number])[]): CandidateTree {
  const tree = new CandidateTree(0, new Set([99]));
  tree.computed(0, 0, []);
  for (const [parent, share] of shape) {
    const token = tree.nodes.length;
    const node = tree.add(parent, { token, share });
    if (tree.at(parent).row < 0) tree.computed(parent, node, []);
  }
  return tree;
}

const outcome = (tree: CandidateTree, reached: number) => ({
  ...{ tree, reached, drawn: [1], elapsedMs: 1 },
  chosen: tree.nodes.map((_, index) => index).slice(1),
});

test('a candidate above the branching confidence opens a branch, the first one always', () => {
  const candidates = [0.25, 0.31, 0.3, 0.29].map((share, token) => ({ token, share }));
  const tokens = new AdaptiveFallback().branches(candidates).map(({ token }) => token);
  assert.deepEqual(tokens, [0, 1, 2]);
});

test('the branch with the largest deficit M · C − T is extended', () => {
  // Two branches: C 0.6, T 3, and C 0.35, T 1.
  const shape = [
    [0, 0.6],
    [1, 1],
    [2, 1],
    [0, 0.35],
  ] as const;
  // M is 4: −0.6 and 0.4.
  assert.equal(pacedBranch(treeOf(shape), [3, 4]), 4);
  const longer = treeOf([...shape, [4, 1], [5, 1], [6, 1]]);
  // M is 7: 1.2 and −1.55.
  assert.equal(pacedBranch(longer, [3, 7]), 3);
  assert.equal(pacedBranch(longer, []), undefined);
});

test('it verifies when the most confident branch falls below α', () => {
  const fallback = new AdaptiveFallback();
  assert.equal(fallback.alpha, 0.01);
  const shape = [
    [0, 0.1],
    [1, 0.101],
    [0, 0.005],
  ] as const;
  assert.deepEqual(fallback.next(treeOf(shape)), [3]);
  assert.deepEqual(fallback.next(treeOf([...shape, [2, 0.9]])), []);
  const ended = treeOf([]);
  ended.add(0, { token: 99, share: 1 });
  assert.deepEqual(fallback.next(ended), [], 'nothing follows the end');
});

test('α is halved when the best branch was right, and raised by the share that was wrong', () => {
  const fallback = new AdaptiveFallback();
  const tree = treeOf([
    [0, 0.5],
    [1, 0.1],
    [2, 0.1],
    [1, 0.05],
  ]);
  fallback.choose(tree, 63);
  // The most confident branch that can grow is node 4's: T_c = 0.025.
  fallback.observe(outcome(tree, 3));
  assert.equal(fallback.alpha, 0.005);
  fallback.observe(outcome(tree, 4));
  assert.equal(fallback.alpha, 0.0025);
  // Of the branches through node 1 that of node 4, two tokens long, is the most confident: one of two was wrong.
  fallback.observe(outcome(tree, 1));
  assert.ok(Math.abs(fallback.alpha - 0.0025 / 0.025 ** 0.5) < 1e-12);
  // Of the branches through the root it is the same: all of it was wrong.
  const before = fallback.alpha;
  fallback.observe(outcome(tree, 0));
  assert.ok(Math.abs(fallback.alpha - before / 0.025) < 1e-12);
  for (let round = 0; round < 50; round++) fallback.observe(outcome(tree, 0));
  assert.ok(fallback.alpha < 1);
  for (let round = 0; round < 100; round++) fallback.observe(outcome(tree, 3));
  assert.ok(fallback.alpha > 0);
  const { alpha } = fallback;
  fallback.observe({ ...outcome(tree, 0), chosen: [], drawn: [7] });
  assert.equal(fallback.alpha, alpha, 'nothing was verified, and nothing would have been right');
  for (let round = 0; round < 50; round++) fallback.observe(outcome(tree, 0));
  fallback.observe({ ...outcome(tree, 0), chosen: [] });
  assert.equal(fallback.alpha, 0.99 / 2);
});

test('branches of the past are verified as far as the draft would go', () => {
  const fallback = new AdaptiveFallback();
  const tree = treeOf([[0, 0.004]]);
  let at = 0;
  for (let token = 50; token < 58; token++) at = tree.add(at, { token, share: 0.5 }, 4);
  const chosen = fallback.choose(tree, 63);
  assert.deepEqual(
    chosen.map((index) => tree.at(index).confidence),
    [0.004, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625],
  );
  assert.deepEqual(fallback.choose(tree, 2), [2, 3], 'the most confident, where there is room for few');
});
