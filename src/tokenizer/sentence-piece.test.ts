/** SentencePiece BPE on vocabularies made here. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Metadata } from '../checkpoint.ts';
import { openTokenizer } from '../tokenizer.ts';
import {
  type PieceRow,
  randomText,
  seededRandom,
  sentencePieceOf,
  vocabularyMetadata,
} from './fixture/small-vocabularies.ts';

const letters: PieceRow[] = [
  ['▁', -100],
  ['a', -101],
  ['b', -102],
  ['c', -103],
];
const noPrefix = { 'tokenizer.ggml.add_space_prefix': false };

const pieces = (metadata: Metadata, text: string, options = {}): string[] => {
  const tokenizer = openTokenizer(metadata);
  return tokenizer.encode(text, options).map((id) => tokenizer.piece(id));
};

test('the pair of the highest score merges first, then the leftmost', () => {
  const metadata = sentencePieceOf([...letters, ['ab', -5], ['bc', -4], ['aa', -6], ['abc', -9]], noPrefix);
  assert.deepEqual(pieces(metadata, 'abc'), ['abc']);
  assert.deepEqual(pieces(metadata, 'abcc'), ['abc', 'c']);
  assert.deepEqual(pieces(metadata, 'aab'), ['a', 'ab']);
  assert.deepEqual(pieces(metadata, 'aaa'), ['aa', 'a']);
});

test('a space goes before the first word and before each text that follows a special token', () => {
  const metadata = sentencePieceOf([...letters, ['▁a', -1]]);
  assert.deepEqual(pieces(metadata, 'a'), ['▁a']);
  assert.deepEqual(pieces(metadata, ' a'), ['▁', '▁a']);
  assert.deepEqual(pieces(metadata, 'a</s>a', { special: true }), ['▁a', '</s>', '▁a']);
  assert.deepEqual(pieces(metadata, 'a', { addSpecial: true }), ['<s>', '▁a']);
  assert.deepEqual(pieces(metadata, '', { addSpecial: true }), ['<s>']);
});

test('what is no piece becomes byte tokens', () => {
  assert.deepEqual(pieces(sentencePieceOf(letters, noPrefix), 'aé'), ['a', '<0xC3>', '<0xA9>']);
});

test('the spelling of byte and control tokens is ordinary text', () => {
  const metadata = sentencePieceOf(
    [...letters, ['<', -1], ['/', -1], ['s', -1], ['>', -1], ['</', -1], ['s>', -1]],
    noPrefix,
  );
  assert.deepEqual(pieces(metadata, '</s>'), ['</', 's>']);
  assert.ok(!pieces(metadata, '<0x41>').includes('<0x41>'));
});

test('without byte tokens, unknown characters in a row are one unknown token', () => {
  const rows: PieceRow[] = [
    ['<unk>', 0, 'unknown'],
    ['<s>', 0, 'control'],
    ['</s>', 0, 'control'],
    ...letters,
  ];
  const metadata = vocabularyMetadata('llama', rows, noPrefix);
  assert.deepEqual(pieces(metadata, 'aéüb'), ['a', '<unk>', 'b']);
  assert.deepEqual(pieces(metadata, 'xyz'), ['<unk>']);
});

/** The definition, in quadratic time. */
function mergedByDefinition(text: string, scores: ReadonlyMap<string, number>): string[] {
  const symbols = Array.from(text);
  for (;;) {
    let best = -1;
    let bestScore = Number.NEGATIVE_INFINITY;
    for (let at = 0; at + 1 < symbols.length; at++) {
      const score = scores.get(`${symbols[at]}${symbols[at + 1]}`) ?? Number.NEGATIVE_INFINITY;
      if (score > bestScore) [best, bestScore] = [at, score];
    }
    if (best < 0) return symbols;
    symbols.splice(best, 2, `${symbols[best]}${symbols[best + 1]}`);
  }
}

test('merges as the definition does, with and without pieces that span words', () => {
  const random = seededRandom(3);
  for (let round = 0; round < 60; round++) {
    const alphabet = ['▁', 'a', 'b', 'c'];
    const rows: PieceRow[] = [...letters];
    while (rows.length < 20) {
      const piece = Array.from(
        { length: 2 + Math.floor(random() * 3) },
        () => alphabet[Math.floor(random() * 4)],
      ).join('');
      const spansWords = /[^▁]▁/.test(piece);
      if ((spansWords && round % 2 === 0) || rows.some(([known]) => known === piece)) continue;
      rows.push([piece, -Math.floor(random() * 50)]);
    }
    const scores = new Map(rows.map(([piece, score = 0]) => [piece, score]));
    const metadata = sentencePieceOf(rows, noPrefix);
    for (let trial = 0; trial < 20; trial++) {
      const text = Array.from(
        { length: 1 + Math.floor(random() * 40) },
        () => ' abc'[Math.floor(random() * 4)],
      ).join('');
      assert.deepEqual(pieces(metadata, text), mergedByDefinition(text.replaceAll(' ', '▁'), scores));
    }
  }
});

test('a million equal letters end', () => {
  const metadata = sentencePieceOf([...letters, ['aa', -1], ['aaaa', -2]], noPrefix);
  assert.equal(openTokenizer(metadata).encode('a'.repeat(1 << 20)).length, (1 << 20) / 4);
});

test('every text comes back, the space before the first word taken off', () => {
  const random = seededRandom(4);
  for (const options of [{}, noPrefix]) {
    const tokenizer = openTokenizer(sentencePieceOf([...letters, ['▁a', -1], ['▁▁', -2]], options));
    for (let trial = 0; trial < 200; trial++) {
      const text = randomText(random, 40);
      assert.equal(tokenizer.decode(tokenizer.encode(text)), text);
      assert.equal(tokenizer.decode(tokenizer.encode(text, { addSpecial: true })), text);
    }
  }
});
