/** Finding pieces by stretches of text, and pairs of numbers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from './fixture/small-vocabularies.ts';
import { PairMap } from './pair-map.ts';
import { PieceIndex } from './piece-index.ts';
import { PieceTrie } from './piece-trie.ts';

test('stretches and joined stretches are found, others are not', () => {
  const index = new PieceIndex(['a', 'ab', '', '▁ab', '😀', 'ab']);
  assert.equal(index.get('ab'), 5);
  assert.equal(index.get(''), -1);
  assert.equal(index.find('x😀y', 1, 3), 4);
  assert.equal(index.find('xaby', 1, 2), 0);
  assert.equal(index.find('xaby', 0, 2), -1);
  assert.equal(index.findJoined('▁a b', 0, 2, 3, 4), 3);
  assert.equal(index.findJoined('▁a c', 0, 2, 3, 4), -1);
});

test('a large index finds all it holds', () => {
  const pieces = Array.from({ length: 5000 }, (_, id) => `p${(id * 7919).toString(36)}`);
  const index = new PieceIndex(pieces);
  for (const [id, piece] of pieces.entries()) assert.equal(index.get(piece), id);
  assert.equal(index.get('q'), -1);
});

test('a pair map agrees with a Map while it grows', () => {
  const random = seededRandom(9);
  const pairs = new PairMap(0);
  const expected = new Map<string, number>();
  for (let value = 0; value < 5000; value++) {
    const [first, second] = [Math.floor(random() * 90), Math.floor(random() * 90)];
    const kept = expected.get(`${first} ${second}`) ?? value;
    expected.set(`${first} ${second}`, kept);
    assert.equal(pairs.add(first, second, value), kept);
  }
  for (let first = 0; first < 90; first++) {
    for (let second = 0; second < 90; second++) {
      assert.equal(pairs.get(first, second), expected.get(`${first} ${second}`) ?? -1);
    }
  }
});

test('a trie finds the longest piece at a place', () => {
  const trie = new PieceTrie([
    ['ab', 1],
    ['abcd', 2],
    ['b', 3],
    ['', 4],
  ]);
  assert.deepEqual(
    [0, 1, 2].map((from) => trie.longestAt('abcabcd', from)),
    [1, 3, -1],
  );
  assert.equal(trie.longestAt('abcabcd', 3), 2);
});
