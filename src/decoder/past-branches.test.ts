import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CandidateTree } from './candidate-tree.ts';
import { PastBranches } from './past-branches.ts';

function grow(tokens: readonly number[], most = 63, past = new PastBranches(), endIds = new Set<number>()) {
  const tree = new CandidateTree(tokens.at(-1) ?? 0, endIds);
  past.addTo(tree, tokens, most);
  return tree;
}

const branches = (tree: CandidateTree) => {
  const parents = new Set(tree.nodes.map(({ parent }) => parent));
  const leaves = tree.nodes.flatMap((_, index) => (index > 0 && !parents.has(index) ? [index] : []));
  return leaves.map((leaf) => tree.path(leaf).map((index) => tree.at(index).token));
};

test('what followed is a branch, and a period goes on', () => {
  assert.deepEqual(branches(grow([1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3], 5)), [[4, 5, 6, 7, 8]]);
  assert.deepEqual(branches(grow([9, 1, 2, 1, 2], 6)), [[1, 2, 1, 2, 1, 2]]);
  assert.deepEqual(branches(grow([1, 2, 3])), []);
  assert.deepEqual(grow([1, 2, 3, 1, 2], 0).size, 0);
});

test('several continuations make a tree, weighted by how often each was seen', () => {
  const tree = grow([1, 2, 3, 7, 1, 2, 3, 8, 1, 2, 4, 9, 1, 2], 4);
  const [three, four] = [tree.child(0, 3), tree.child(0, 4)];
  assert.ok(Math.abs(tree.at(three).share - 2 * tree.at(four).share) < 1e-12);
  assert.ok(tree.child(three, 8) > 0 && tree.child(three, 7) > 0);
  // The longer match counts for more than the more frequent one.
  const longer = grow([5, 1, 2, 3, 1, 2, 4, 6, 1, 2, 4, 5, 1, 2], 2);
  assert.equal(longer.at(1).token, 3);
});

test('branches end with the text, and where nothing is expected of them', () => {
  assert.deepEqual(branches(grow([1, 2, 3, 4, 5, 1, 2], 9, new PastBranches(), new Set([4]))), [[3, 4]]);
  const all = grow([...Array.from({ length: 200 }, (_, token) => token), 0, 1], 63);
  assert.ok(all.size > 3 && all.size < 63, `${all.size} nodes`);
  for (const node of all.nodes) assert.ok(node.confidence >= 0.02);
});

test('how far a match is trusted is learnt by its length', () => {
  const past = new PastBranches();
  const tokens = [1, 2, 3, 4, 5, 6, 1, 2];
  const [two, four] = [past.share(2), past.share(4)];
  assert.ok(four > two);
  for (let round = 0; round < 20; round++) past.learn(grow(tokens, 63, past), [9]);
  assert.ok(past.share(2) < 0.2 && past.share(4) === four);
  for (let round = 0; round < 60; round++) past.learn(grow(tokens, 63, past), [3, 4, 9]);
  assert.ok(past.share(2) > 0.5);
});
