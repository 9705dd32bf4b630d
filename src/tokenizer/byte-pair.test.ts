/** Byte-level BPE on vocabularies made here. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTokenizer } from '../tokenizer.ts';
import { byteCharacters } from './byte-alphabet.ts';
import { bytePairOf, randomText, seededRandom, vocabularyMetadata } from './fixture/small-vocabularies.ts';

const pieces = (metadata: Parameters<typeof openTokenizer>[0], text: string, special = false): string[] => {
  const tokenizer = openTokenizer(metadata);
  return tokenizer.encode(text, { special }).map((id) => tokenizer.piece(id));
};

test('merges go by rank, then from the left', () => {
  assert.deepEqual(pieces(bytePairOf(['b c', 'a b', 'a bc']), 'abc'), ['abc']);
  assert.deepEqual(pieces(bytePairOf(['a b', 'b c']), 'abc'), ['ab', 'c']);
  assert.deepEqual(pieces(bytePairOf(['a a']), 'aaaaa'), ['aa', 'aa', 'a']);
});

test('words are merged apart, bytes are spelled in the alphabet', () => {
  const metadata = bytePairOf(['a Ġ', 'Ġ b']);
  assert.deepEqual(pieces(metadata, 'a b'), ['a', 'Ġb']);
  assert.deepEqual(pieces(metadata, '\u00e9'), ['Ã', '©']);
});

test('a merge may pass through a text that is no token', () => {
  const rows = ['a', 'b', 'c', 'abc'].map((piece) => [piece] as const);
  const merges = { 'tokenizer.ggml.pre': 'gpt-2', 'tokenizer.ggml.merges': ['a b', 'ab c'] };
  const metadata = vocabularyMetadata('gpt2', rows, merges);
  assert.deepEqual(pieces(metadata, 'abc'), ['abc']);
  assert.deepEqual(pieces(metadata, 'abab'), ['a', 'b', 'a', 'b']);
  // No token for this byte: left out.
  assert.deepEqual(pieces(metadata, 'azb'), ['a', 'b']);
});

test('ignore_merges takes a word that is a token whole', () => {
  const merges = ['c d', 'b cd', 'Ġ a'];
  const special = [['Ġabc'] as const];
  assert.deepEqual(pieces(bytePairOf(merges, {}, special), ' abc'), ['Ġa', 'b', 'c']);
  assert.deepEqual(pieces(bytePairOf(merges, { 'tokenizer.ggml.pre': 'llama-bpe' }, special), ' abc'), [
    'Ġabc',
  ]);
});

test('special tokens are text unless asked for, user-defined ones never', () => {
  const metadata = bytePairOf(['a b'], {}, [
    ['<|im_end|>', 0, 'control'],
    ['  ', 0, 'userDefined'],
  ]);
  assert.equal(pieces(metadata, 'ab<|im_end|>').length, 11);
  assert.deepEqual(pieces(metadata, 'ab<|im_end|>ab', true), ['ab', '<|im_end|>', 'ab']);
  assert.deepEqual(pieces(metadata, 'a  b'), ['a', '  ', 'b']);
});

test('BOS and EOS are added as the pre-tokenizer and the metadata ask', () => {
  const ids = { 'tokenizer.ggml.bos_token_id': 7, 'tokenizer.ggml.eos_token_id': 8 };
  const encode = (more: object): number[] =>
    openTokenizer(bytePairOf([], { ...ids, ...more })).encode('a', { addSpecial: true });
  assert.deepEqual(encode({}), [0x61]);
  assert.deepEqual(encode({ 'tokenizer.ggml.pre': 'llama-bpe' }), [7, 0x61]);
  assert.deepEqual(
    encode({ 'tokenizer.ggml.pre': 'llama-bpe', 'tokenizer.ggml.add_bos_token': false }),
    [0x61],
  );
  assert.deepEqual(encode({ 'tokenizer.ggml.add_eos_token': true }), [0x61, 8]);
});

test('an unknown or missing pre-tokenizer is a warning', () => {
  assert.match(
    openTokenizer(bytePairOf([], { 'tokenizer.ggml.pre': 'novel' })).warnings?.[0] ?? '',
    /'novel'/,
  );
  const rows = byteCharacters.map((character) => [character] as const);
  const unnamed = vocabularyMetadata('gpt2', rows, { 'tokenizer.ggml.merges': [] });
  assert.match(openTokenizer(unnamed).warnings?.[0] ?? '', /names no pre-tokenizer/);
  assert.deepEqual(openTokenizer(bytePairOf([])).warnings, []);
});

test('a malformed merge is refused', () => {
  for (const merge of ['ab', 'a ', '', ' ']) {
    assert.throws(() => openTokenizer(bytePairOf(['a b', merge])), { code: 'bad-file', message: /Merge 1 / });
  }
});

/** The definition, in quadratic time: the first pair of lowest rank is merged until there is none. */
function mergedByDefinition(word: string, ranks: ReadonlyMap<string, number>): string[] {
  const symbols = Array.from(new TextEncoder().encode(word), (byte) => byteCharacters[byte] ?? '');
  for (;;) {
    let best = -1;
    let bestRank = Number.POSITIVE_INFINITY;
    for (let at = 0; at + 1 < symbols.length; at++) {
      const rank = ranks.get(`${symbols[at]} ${symbols[at + 1]}`) ?? Number.POSITIVE_INFINITY;
      if (rank < bestRank) [best, bestRank] = [at, rank];
    }
    if (best < 0) return symbols;
    symbols.splice(best, 2, `${symbols[best]}${symbols[best + 1]}`);
  }
}

test('the heap merges as the definition does', () => {
  const random = seededRandom(1);
  const letters = ['a', 'b', 'c'];
  for (let round = 0; round < 30; round++) {
    const known = [...letters];
    const merges: string[] = [];
    while (merges.length < 20) {
      const [left, right] = [
        known[Math.floor(random() * known.length)],
        known[Math.floor(random() * known.length)],
      ];
      if (merges.includes(`${left} ${right}`)) continue;
      merges.push(`${left} ${right}`);
      known.push(`${left}${right}`);
    }
    const ranks = new Map(merges.map((merge, rank) => [merge, rank]));
    const metadata = bytePairOf(merges);
    for (let trial = 0; trial < 20; trial++) {
      const word = Array.from(
        { length: Math.floor(random() * 60) },
        () => letters[Math.floor(random() * 3)],
      ).join('');
      assert.deepEqual(
        pieces(metadata, word),
        word === '' ? [] : mergedByDefinition(word, ranks),
        `${merges}: ${word}`,
      );
    }
  }
});

test('a million equal letters end', () => {
  const tokenizer = openTokenizer(bytePairOf(['a a', 'aa aa', 'aaaa aaaa']));
  const ids = tokenizer.encode('a'.repeat(1 << 20));
  assert.equal(ids.length, (1 << 20) / 8);
});

test('every text comes back', () => {
  const tokenizer = openTokenizer(bytePairOf(['Ġ t', 'h e', 'Ġt he', 'i n', 'Ã ©']));
  const random = seededRandom(2);
  for (let trial = 0; trial < 200; trial++) {
    const text = randomText(random, 40);
    assert.equal(tokenizer.decode(tokenizer.encode(text)), text);
  }
  assert.equal(tokenizer.decode(tokenizer.encode('a\ud800b')), 'a\ufffdb');
  assert.deepEqual(tokenizer.encode(''), []);
});

test('characters instead of bytes: spaces are U+2581, lines stay whole, the rest is byte tokens', () => {
  const rows = [['▁'], ['a'], ['▁a'], ['\n\n'], ['<0xC3>', 0, 'byte'], ['<0xA9>', 0, 'byte']] as const;
  const metadata = vocabularyMetadata('gemma4', rows, { 'tokenizer.ggml.merges': ['▁ a'] });
  assert.deepEqual(pieces(metadata, 'a a\n\na'), ['a', '▁a', '\n\n', 'a']);
  const tokenizer = openTokenizer(metadata);
  assert.equal(tokenizer.decode(tokenizer.encode(' a\n\n')), ' a\n\n');
});
