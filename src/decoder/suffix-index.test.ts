import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uniformAt } from '../base/random.ts';
import { longestMatch, SuffixIndex } from './suffix-index.ts';

/** Looks at every position. */
function naiveFind(tokens: readonly number[]) {
  const found: { next: number; length: number }[] = [];
  for (let next = tokens.length - 1; next > 0 && found.length < 16; next--) {
    let length = 0;
    while (
      length < longestMatch &&
      next - length > 0 &&
      tokens[next - 1 - length] === tokens[tokens.length - 1 - length]
    ) {
      length++;
    }
    if (length >= 2) found.push({ next, length });
  }
  return found;
}

const randomTokens = (seed: number, count: number, vocabularySize: number) =>
  Array.from({ length: count }, (_, index) => Math.floor(uniformAt(seed, index) * vocabularySize));

test('finds the earlier occurrences, the most recent first, while the text grows', () => {
  // As many positions per pair of tokens as a search looks at, at most: there the index must be exact.
  for (const [seed, vocabularySize] of [
    [1, 12],
    [2, 40],
    [3, 5000],
  ] as const) {
    const text = randomTokens(seed, 700, vocabularySize);
    // Repeated stretches, as in real texts.
    for (let place = 300; place < 700; place += 70)
      text.splice(place, 30, ...text.slice(place - 250, place - 220));
    const index = new SuffixIndex();
    let found = 0;
    for (let length = 0; length <= text.length; length += 1 + (length % 3)) {
      const tokens = text.slice(0, length);
      const matches = index.find(tokens);
      assert.deepEqual(matches, naiveFind(tokens), `vocabulary ${vocabularySize}, ${length} tokens`);
      found += matches.length;
    }
    assert.ok(found > 30, `${found} found`);
  }
});

test('a text that was cut and continued differently is followed', () => {
  const index = new SuffixIndex();
  const text = randomTokens(4, 200, 30);
  index.find(text);
  const cut = [...text.slice(0, 120), ...randomTokens(5, 300, 30)];
  for (let length = 121; length < cut.length; length++) {
    assert.deepEqual(index.find(cut.slice(0, length)), naiveFind(cut.slice(0, length)), `${length} tokens`);
  }
  assert.deepEqual(index.find([]), []);
  assert.deepEqual(index.find([5]), []);
  assert.deepEqual(index.find([5, 6, 5, 6]), [{ next: 2, length: 2 }]);
});

test('a search looks at a bounded number of places', () => {
  const index = new SuffixIndex();
  // Every pair is (1, 1) or ends in it; the only long match is far back.
  const filler = Array.from({ length: 3000 }, (_, at) => (at % 3 === 2 ? 3 : 1));
  const text = [7, 8, 9, 1, 1, 2, ...filler, 8, 9, 1, 1];
  const reads = { count: 0 };
  index.find(text.slice(0, -1));
  const counted = new Proxy(text, {
    get(target, key, receiver) {
      reads.count++;
      return Reflect.get(target, key, receiver);
    },
  });
  index.find(counted);
  assert.ok(reads.count < 3000, `${reads.count} reads`);
});
