/** Ids to text: whole, in a stream, in bytes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTokenizer, type Tokenizer } from '../tokenizer.ts';
import { bytePairOf, randomText, seededRandom, sentencePieceOf } from './fixture/small-vocabularies.ts';

const sentencePiece = openTokenizer(
  sentencePieceOf([
    ['▁', -1],
    ['▁a', -2],
    ['b', -3],
    ['<|end|>', 0, 'control'],
    ['▁▁', 0, 'userDefined'],
    ['old', 0, 'unused'],
  ]),
);
const bytePair = openTokenizer(bytePairOf(['Ġ a', 'ð Ł', 'ðŁ ĺ']));
const idOf = (tokenizer: Tokenizer, piece: string): number => {
  const ids = Array.from({ length: tokenizer.vocabularySize }, (_, id) => id);
  return ids.find((id) => tokenizer.piece(id) === piece) ?? -1;
};

function streamed(tokenizer: Tokenizer, ids: readonly number[], options = {}): string[] {
  const stream = tokenizer.stream(options);
  return [...ids.map((id) => stream.push(id)), stream.flush()];
}

test('a character over several tokens comes when it is whole', () => {
  const ids = bytePair.encode('é😀');
  assert.equal(ids.length, 4);
  assert.deepEqual(streamed(bytePair, ids), ['', 'é', '', '😀', '']);
});

test('bytes that are no UTF-8 become U+FFFD, at the end too', () => {
  assert.deepEqual(streamed(bytePair, [0x61, 0xff, 0x62]), ['a', '\ufffd', 'b', '']);
  assert.deepEqual(streamed(bytePair, [0xc3, 0x61]), ['', '\ufffda', '']);
  assert.deepEqual(streamed(bytePair, [0x61, 0xf0, 0x9f]), ['a', '', '', '\ufffd']);
});

test('a byte order mark is text', () => {
  assert.equal(bytePair.decode(bytePair.encode('\ufeffa')), '\ufeffa');
});

test('whole and streamed agree on any ids', () => {
  const random = seededRandom(8);
  for (const tokenizer of [bytePair, sentencePiece]) {
    for (let trial = 0; trial < 300; trial++) {
      const length = Math.floor(random() * 12);
      const ids = Array.from({ length }, () => Math.floor(random() * tokenizer.vocabularySize));
      for (const special of [false, true]) {
        assert.equal(streamed(tokenizer, ids, { special }).join(''), tokenizer.decode(ids, { special }));
      }
    }
    const text = randomText(random, 200);
    assert.equal(streamed(tokenizer, tokenizer.encode(text)).join(''), text);
  }
});

test('the first word loses the space it was given, later ones keep theirs', () => {
  const a = idOf(sentencePiece, '▁a');
  assert.equal(sentencePiece.decode([a, a]), 'a a');
  assert.equal(sentencePiece.decode([1, a]), 'a');
  assert.equal(sentencePiece.decode([1, a, 2, a], { special: true }), '<s>a</s> a');
  const space = idOf(sentencePiece, '▁');
  assert.equal(sentencePiece.decode([space, space, a]), '  a');
  assert.deepEqual(streamed(sentencePiece, [a, a], { continues: true }), [' a', ' a', '']);
  // Nothing was put before the first word here.
  assert.equal(bytePair.decode(bytePair.encode(' a')), ' a');
});

test('control tokens are left out unless asked for; user-defined and unused ones are text', () => {
  const [end, spaces] = [idOf(sentencePiece, '<|end|>'), idOf(sentencePiece, '▁▁')];
  assert.equal(sentencePiece.decode([end, 0]), '');
  assert.equal(sentencePiece.decode([end, 0], { special: true }), '<|end|><unk>');
  assert.deepEqual(sentencePiece.bytes(end), new Uint8Array(0));
  assert.equal(sentencePiece.bytes(end, { special: true }).length, 7);
  assert.equal(sentencePiece.decode([idOf(sentencePiece, 'b'), spaces]), 'b  ');
  assert.equal(sentencePiece.decode([idOf(sentencePiece, 'old')]), 'old');
});

test('bytes of one token, which the caller may change', () => {
  const id = idOf(bytePair, 'ðŁĺ');
  assert.deepEqual(bytePair.bytes(id), Uint8Array.of(0xf0, 0x9f, 0x98));
  bytePair.bytes(id).fill(0);
  assert.deepEqual(bytePair.bytes(id), Uint8Array.of(0xf0, 0x9f, 0x98));
  assert.deepEqual(sentencePiece.bytes(3 + 0xe2), Uint8Array.of(0xe2));
});

test('an id outside the vocabulary is an error', () => {
  for (const id of [-1, 1.5, Number.NaN, bytePair.vocabularySize]) {
    assert.throws(() => bytePair.decode([0x61, id]), {
      code: 'bad-argument',
      message: /outside the vocabulary/,
    });
    assert.throws(() => bytePair.piece(id), { code: 'bad-argument' });
    assert.throws(() => bytePair.bytes(id), { code: 'bad-argument' });
    assert.throws(() => bytePair.stream().push(id), { code: 'bad-argument' });
  }
});
