import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CandidateTree } from './candidate-tree.ts';

/** The draft has computed the root, 1 and 3: 1 and 2 below the root, 3 and 4 below 1, 5 below 3. */
function grown(): CandidateTree {
  const tree = new CandidateTree(10, new Set([99]));
  tree.computed(0, 100, []);
  for (const [parent, token, share] of [
    [0, 11, 0.5],
    [0, 12, 0.25],
    [1, 13, 0.5],
    [1, 14, 0.25],
    [3, 15, 0.5],
  ] as const) {
    tree.add(parent, { token, share });
  }
  tree.computed(1, 101, []);
  tree.computed(3, 102, []);
  return tree;
}

const tokensOf = (tree: CandidateTree) => tree.nodes.map(({ token }) => token);
const confidences = (tree: CandidateTree) => tree.nodes.map(({ confidence }) => confidence);

test('confidence is the product of the shares; frontier, path and what is below', () => {
  const tree = grown();
  assert.deepEqual(confidences(tree), [1, 0.5, 0.25, 0.25, 0.125, 0.125]);
  assert.deepEqual([tree.size, tree.frontier(), tree.path(5)], [5, [2, 4, 5], [1, 3, 5]]);
  assert.deepEqual([tree.below(1), tree.below(0).length, tree.below(2)], [[3, 4, 5], 5, []]);
  assert.deepEqual([tree.child(1, 14), tree.child(0, 14)], [4, -1]);
});

test('a token that is suggested twice is one node, with the greater share', () => {
  const tree = grown();
  assert.equal(tree.add(0, { token: 11, share: 0.1 }, 5), 1);
  assert.deepEqual([tree.at(1).share, tree.at(1).matchLength, tree.at(1).isDrafted], [0.5, 5, true]);
  assert.equal(tree.add(1, { token: 13, share: 1 }), 3);
  assert.deepEqual(confidences(tree), [1, 0.5, 0.25, 0.5, 0.125, 0.25]);
  const fromPast = tree.add(0, { token: 20, share: 0.3 }, 4);
  assert.equal(tree.at(fromPast).isDrafted, false);
});

test('nothing follows an end id', () => {
  const tree = grown();
  const end = tree.add(3, { token: 99, share: 0.9 });
  assert.ok(tree.at(end).isEnd && !tree.frontier().includes(end));
});

test('what the loop takes: chosen nodes with their parents’ places', () => {
  assert.deepEqual(grown().chosen([1, 3, 5]), { tokens: [11, 13, 15], parents: [-1, 0, 1] });
  assert.deepEqual(grown().chosen([1, 2, 4]), { tokens: [11, 12, 14], parents: [-1, -1, 0] });
  assert.deepEqual(grown().chosen([]), { tokens: [], parents: [] });
});

test('a node that came true becomes the root of what was drafted below it', () => {
  const tree = grown();
  tree.add(4, { token: 30, share: 0.9 }, 6);
  const { tree: rest, origins } = tree.rerooted(1);
  assert.deepEqual(tokensOf(rest), [11, 13, 14, 15]);
  assert.deepEqual(confidences(rest), [1, 0.5, 0.25, 0.25]);
  assert.deepEqual(
    rest.nodes.map(({ parent, depth }) => [parent, depth]),
    [
      [-1, 0],
      [0, 1],
      [0, 1],
      [1, 2],
    ],
  );
  assert.deepEqual(origins, [1, 3, 4, 5]);
  assert.deepEqual(tokensOf(tree.rerooted(2).tree), [12], 'not computed: a root alone');
  assert.deepEqual(tokensOf(tree.rerooted(0).tree), [10, 11, 12, 13, 14, 15], 'the past is asked anew');
});
