import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CandidateTree } from './candidate-tree.ts';
import { FixedFallback } from './fixed-fallback.ts';

const candidates = [0.4, 0.35, 0.25].map((share, token) => ({ token, share }));

/** Grows a tree as the proposer does, with the same candidates everywhere. */
function grow(fallback: FixedFallback): CandidateTree {
  const tree = new CandidateTree(9, new Set());
  const compute = (index: number): void => {
    tree.computed(index, index, candidates);
    for (const branch of fallback.branches(candidates)) tree.add(index, branch);
  };
  compute(0);
  for (let next = fallback.next(tree); next.length > 0; next = fallback.next(tree)) next.forEach(compute);
  return tree;
}

test('a chain of so many, and a bush of so many; the past is left out', () => {
  const chain = new FixedFallback({ nodes: 5, branching: 1 });
  const tree = grow(chain);
  tree.add(0, { token: 8, share: 1 }, 4);
  const chosen = chain.choose(tree, 63);
  assert.deepEqual(
    chosen.map((index) => tree.at(index).depth),
    [1, 2, 3, 4, 5],
  );
  const bush = new FixedFallback({ nodes: 8, branching: 0.3 });
  const wide = grow(bush);
  assert.equal(bush.choose(wide, 63).length, 8);
  assert.deepEqual(bush.choose(wide, 2), [1, 2]);
});
