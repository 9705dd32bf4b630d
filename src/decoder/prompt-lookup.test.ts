import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uniformAt } from '../base/random.ts';
import { PromptLookup } from './prompt-lookup.ts';
import { longestMatch, SuffixIndex } from './suffix-index.ts';

/** Looks at every position. */
function naiveFind(tokens: readonly number[]) {
  let best: { next: number; length: number } | undefined;
  for (let next = tokens.length - 1; next > 0; next--) {
    let length = 0;
    while (
      length < longestMatch &&
      next - length > 0 &&
      tokens[next - 1 - length] === tokens[tokens.length - 1 - length]
    ) {
      length++;
    }
    if (length >= 2 && length > (best?.length ?? 0)) best = { next, length };
  }
  return best;
}

const randomTokens = (seed: number, count: number, vocabularySize: number) =>
  Array.from({ length: count }, (_, index) => Math.floor(uniformAt(seed, index) * vocabularySize));

test('finds the longest, most recent occurrence while the text grows', () => {
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
      const match = index.find(tokens);
      assert.deepEqual(match, naiveFind(tokens), `vocabulary ${vocabularySize}, ${length} tokens`);
      if (match) found++;
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
  assert.equal(index.find([]), undefined);
  assert.equal(index.find([5]), undefined);
  assert.deepEqual(index.find([5, 6, 5, 6]), { next: 2, length: 2 });
});

test('a search looks at a bounded number of places', () => {
  const index = new SuffixIndex();
  // Every pair is (1, 1) or ends in it; the only long match is far back.
  const text = [
    7,
    8,
    9,
    1,
    1,
    2,
    ...Array.from({ length: 3000 }, (_, at) => (at % 3 === 2 ? 3 : 1)),
    8,
    9,
    1,
    1,
  ];
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

test('what followed is proposed as a chain, and a period goes on', () => {
  const quote = new PromptLookup('lookup');
  const text = [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3];
  assert.deepEqual(quote.propose(text, 63), { tokens: [4, 5], parents: [-1, 0] });
  assert.deepEqual(new PromptLookup('lookup').propose(text, 1), { tokens: [4], parents: [-1] });
  const period = new PromptLookup('lookup', { rowCost: 0.05 });
  assert.deepEqual(period.propose([9, 1, 2, 1, 2], 63).tokens.slice(0, 6), [1, 2, 1, 2, 1, 2]);
  assert.deepEqual(quote.propose([1, 2, 3], 63).tokens, []);
  assert.throws(() => new PromptLookup('lookup', { rowCost: 0 }), { code: 'bad-argument' });
});

interface Outcome {
  readonly steps: number;
  readonly proposed: number;
}

/** Decodes a known text: what a model that says it would have accepted. */
function replay(text: readonly number[], promptLength: number, isTaken: (index: number) => boolean): Outcome {
  const proposer = new PromptLookup('lookup', { rowCost: 0.4 });
  const tokens = text.slice(0, promptLength);
  let [steps, proposed] = [0, 0];
  while (tokens.length < text.length) {
    const tree = proposer.propose(tokens, Math.max(1, text.length - tokens.length - 1));
    let accepted = 0;
    while (accepted < tree.tokens.length && tree.tokens[accepted] === text[tokens.length + accepted]) {
      if (!isTaken(tokens.length + accepted)) break;
      accepted++;
    }
    steps++;
    proposed += tree.tokens.length;
    if (tree.tokens.length > 0) proposer.observe(accepted, tree.tokens.length);
    tokens.push(...text.slice(tokens.length, tokens.length + accepted + 1));
  }
  return { steps, proposed };
}

test('it backs off where nothing is accepted', () => {
  const count = 4000;
  const text = randomTokens(8, count, 20);
  const { steps, proposed } = replay(text, 100, () => false);
  assert.equal(steps, count - 100);
  assert.ok(proposed > 20, `${proposed} proposed`);
  // In passes: the initial credit and one in 32 tokens.
  assert.ok(proposed * 0.4 <= 4 + count / 32, `${proposed} proposed`);
});

test('it proposes long chains where all is accepted', () => {
  const once = randomTokens(9, 500, 1000);
  const text = [...once, ...once];
  const { steps } = replay(text, 500, () => true);
  assert.ok(steps < 500 / 7, `${steps} steps`);
});

test('it comes back after a bad stretch', () => {
  const once = randomTokens(10, 1500, 1000);
  const text = [...once, ...once, ...once];
  const bad = replay(text.slice(0, 3000), 1500, () => false);
  const mixed = replay(text, 1500, (index) => index >= 3000);
  assert.ok(mixed.steps - bad.steps < 1500 / 3, `${mixed.steps - bad.steps} steps for 1500 tokens`);
});
