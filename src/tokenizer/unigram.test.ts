/** The unigram tokenizer on vocabularies made here. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Metadata } from '../checkpoint.ts';
import { openTokenizer } from '../tokenizer.ts';
import { compileCharacterMap } from './fixture/compile-character-map.ts';
import { type PieceRow, seededRandom, vocabularyMetadata } from './fixture/small-vocabularies.ts';

const head: PieceRow[] = [
  ['<pad>', 0, 'control'],
  ['</s>', 0, 'control'],
  ['<unk>', 0, 'unknown'],
];

const pieces = (metadata: Metadata, text: string, options = {}): string[] => {
  const tokenizer = openTokenizer(metadata);
  return tokenizer.encode(text, options).map((id) => tokenizer.piece(id));
};

test('takes the most likely cut, not the greedy one', () => {
  const rows: PieceRow[] = [...head, ['a', -3], ['b', -3], ['c', -3], ['ab', -1], ['bc', -1.5], ['abc', -5]];
  assert.deepEqual(pieces(vocabularyMetadata('t5', rows), 'abc'), ['ab', 'c']);
  const withRare: PieceRow[] = [...head, ['a', -1], ['b', -9], ['c', -9], ['ab', -1], ['bc', -1]];
  assert.deepEqual(pieces(vocabularyMetadata('t5', withRare), 'abc'), ['a', 'bc']);
});

test('EOS closes a text, unknown characters in a row are one token', () => {
  const metadata = vocabularyMetadata('t5', [...head, ['a', -1]]);
  assert.deepEqual(pieces(metadata, 'aéü😀a', { addSpecial: true }), ['a', '<unk>', 'a', '</s>']);
});

test('user-defined pieces cost nothing', () => {
  const metadata = vocabularyMetadata('t5', [
    ...head,
    ['a', -1],
    ['aa', -0.5],
    ['xa', 0, 'userDefined'],
    ['x', -1],
  ]);
  assert.deepEqual(pieces(metadata, 'xaa'), ['xa', 'a']);
});

test('spaces: kept, prefixed, or merged', () => {
  const rows: PieceRow[] = [...head, ['▁', -2], ['a', -1], ['▁a', -1]];
  const spaced = (more: object): string =>
    pieces(vocabularyMetadata('t5', rows, more as never), '  a  a ').join(' ');
  assert.equal(spaced({}), '▁ ▁a ▁ ▁a ▁');
  assert.equal(spaced({ 'tokenizer.ggml.add_space_prefix': true }), '▁ ▁ ▁a ▁ ▁a ▁');
  const merged = { 'tokenizer.ggml.add_space_prefix': true, 'tokenizer.ggml.remove_extra_whitespaces': true };
  assert.equal(spaced(merged), '▁a ▁a');
  const tokenizer = openTokenizer(vocabularyMetadata('t5', rows, merged));
  assert.equal(tokenizer.decode(tokenizer.encode('a a')), 'a a');
  assert.deepEqual(tokenizer.encode('   '), []);
});

test('the character map rewrites the text, longest rule first', () => {
  const charsmap = compileCharacterMap([
    ['Ａ', 'a'],
    ['é', 'e'],
    ['ab', 'x'],
    ['abc', 'yz'],
    ['\t', ' '],
    ['\u00ad', ''],
  ]);
  const rows: PieceRow[] = [...head, ...Array.from('▁aebcxyzé😀', (letter): PieceRow => [letter, -1])];
  const metadata = vocabularyMetadata('t5', rows, { 'tokenizer.ggml.precompiled_charsmap': charsmap });
  const rewritten = (text: string): string => pieces(metadata, text).join('');
  assert.equal(rewritten('Ａé'), 'ae');
  assert.equal(rewritten('ababcab'), 'xyzx');
  assert.equal(rewritten('a\tb\u00adc😀'), 'a▁bc😀');
  assert.equal(rewritten('\u0000'), '<unk>');
});

test('a damaged character map is refused', () => {
  const charsmap = compileCharacterMap([['a', 'b']]);
  const open = (bytes: Uint8Array) => () =>
    openTokenizer(
      vocabularyMetadata('t5', [...head, ['a', -1]], { 'tokenizer.ggml.precompiled_charsmap': bytes }),
    );
  assert.throws(open(charsmap.subarray(0, 3)), { code: 'bad-file' });
  assert.throws(open(charsmap.subarray(0, 100)), { code: 'bad-file' });
  assert.throws(open(Uint8Array.of(3, 0, 0, 0, 1, 2, 3, 4)), { code: 'bad-file' });
  // Noise in the table neither throws nor loops.
  const random = seededRandom(5);
  for (let trial = 0; trial < 100; trial++) {
    const noisy = charsmap.map((byte, index) =>
      index >= 4 && random() < 0.2 ? Math.floor(random() * 256) : byte,
    );
    open(noisy)().encode('a quick brown fox, aaa');
  }
});

/** The most likely cut by trying all. */
function bestScore(text: string, scores: ReadonlyMap<string, number>): number {
  const best = [0];
  for (let end = 1; end <= text.length; end++) {
    let top = Number.NEGATIVE_INFINITY;
    for (let start = 0; start < end; start++) {
      const score = scores.get(text.slice(start, end));
      if (score !== undefined) top = Math.max(top, (best[start] ?? 0) + score);
    }
    best.push(top);
  }
  return best.at(-1) ?? 0;
}

test('no cut of a text scores higher', () => {
  const random = seededRandom(6);
  for (let round = 0; round < 40; round++) {
    const scores = new Map([...'abc'].map((letter) => [letter, -4 - random()]));
    while (scores.size < 15) {
      const piece = Array.from(
        { length: 2 + Math.floor(random() * 4) },
        () => 'abc'[Math.floor(random() * 3)],
      ).join('');
      scores.set(piece, -1 - random() * 6);
    }
    const metadata = vocabularyMetadata('t5', [...head, ...scores]);
    for (let trial = 0; trial < 10; trial++) {
      const text = Array.from({ length: 30 }, () => 'abc'[Math.floor(random() * 3)]).join('');
      const cut = pieces(metadata, text);
      assert.equal(cut.join(''), text);
      const score = cut.reduce((sum, piece) => sum + Math.fround(scores.get(piece) ?? 0), 0);
      assert.ok(Math.abs(score - bestScore(text, scores)) < 1e-4);
    }
  }
});
