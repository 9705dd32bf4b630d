/** Cutting text at special tokens. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTokenizer } from '../tokenizer.ts';
import { bytePairOf, type PieceRow } from './fixture/small-vocabularies.ts';

const special: PieceRow[] = [
  ['<a>', 0, 'control'],
  ['<a><b>', 0, 'control'],
  ['b><', 0, 'userDefined'],
  ['\n\n', 0, 'userDefined'],
  ['\n\n\n', 0, 'userDefined'],
  ['[UNK]', 0, 'unknown'],
];
const tokenizer = openTokenizer(bytePairOf([], {}, special));
const cut = (text: string, asked: boolean): string =>
  tokenizer
    .encode(text, { special: asked })
    .map((id) => tokenizer.piece(id))
    .join(' ');

test('the leftmost wins, then the longest', () => {
  assert.equal(cut('<a><b>', true), '<a><b>');
  assert.equal(cut('<a><c>', true), '<a> < c >');
  assert.equal(cut('<a>b><', true), '<a> b><');
  assert.equal(cut('\n\n\n\n\n', true), '\n\n\n \n\n');
  assert.equal(cut('[UNK]x', true), '[UNK] x');
});

test('without being asked, only user-defined ones', () => {
  assert.equal(cut('<a>b><', false), '< a > b><');
  assert.equal(cut('[UNK]', false), '[ U N K ]');
});

test('a long text of beginnings of special tokens ends', () => {
  assert.equal(tokenizer.encode('<a'.repeat(200_000), { special: true }).length, 400_000);
});
