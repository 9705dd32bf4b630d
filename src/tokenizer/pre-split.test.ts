/** Splitting step by step, in windows, and by position. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asciiDigitTriples, digitTriples, trailingSpace } from './digit-groups.ts';
import { makeSplitter } from './pre-split.ts';

test('matches and the gaps between them are pieces; later steps cut these further', () => {
  assert.deepEqual(makeSplitter(['[0-9]+'])('ab12c3'), ['ab', '12', 'c', '3']);
  assert.deepEqual(makeSplitter(['[0-9]+', '[ac]'])('ab12c3'), ['a', 'b', '12', 'c', '3']);
  assert.deepEqual(makeSplitter([])('abc'), ['abc']);
});

test('a lookahead sees no further than its piece', () => {
  assert.deepEqual(makeSplitter(['x', '\\s+(?!\\S)'])('  x  y'), ['  ', 'x', ' ', ' y']);
});

test('empty matches cut too', () => {
  assert.deepEqual(makeSplitter(['(?=b)'])('abab'), ['a', 'ba', 'b']);
});

test('long texts are cut as short ones are', () => {
  const sentence = "It's 2025, and the text goes on \u{1f600} \n\n";
  const split = makeSplitter(["'s| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"]);
  const times = Math.ceil(2_500_000 / sentence.length);
  // The last sentence ends otherwise: nothing follows its lines.
  const last = split(sentence);
  const inside = split(sentence + sentence).slice(0, -last.length);
  const all = split(sentence.repeat(times));
  assert.equal(all.length, inside.length * (times - 1) + last.length);
  const odd = all.slice(0, -last.length).findIndex((piece, index) => piece !== inside[index % inside.length]);
  assert.equal(odd, -1);
});

test('a piece longer than a window is cut, but not inside a character', () => {
  const text = `a${'\u{1d49c}'.repeat(1_200_000)}`;
  const pieces = makeSplitter(['\\p{L}+'])(text);
  assert.equal(pieces.join(''), text);
  assert.ok(pieces.every((piece) => !/\p{Surrogate}/u.test(piece)));
});

test('digit groups', () => {
  const cut = (cuts: readonly number[], text: string): string =>
    [0, ...cuts, text.length]
      .map((from, index, all) => text.slice(from, all[index + 1] ?? text.length))
      .join('|');
  assert.equal(cut(asciiDigitTriples('1234567'), '1234567'), '1|234|567|');
  assert.equal(cut(asciiDigitTriples('²345'), '²345'), '²|345|');
  assert.equal(cut(asciiDigitTriples('12'), '12'), '12|');
  assert.equal(cut(digitTriples('ab1234 56x'), 'ab1234 56x'), 'ab|1|234| |56|x|');
  assert.equal(cut(digitTriples('١٢٣٤'), '١٢٣٤'), '١|٢٣٤|');
  assert.equal(cut(trailingSpace('a b  '), 'a b  '), 'a b|  |');
  assert.equal(cut(trailingSpace('   '), '   '), '   |');
});
