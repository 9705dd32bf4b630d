/** Reading a vocabulary from metadata: roles, ends, kinds, and what is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTokenizer } from '../tokenizer.ts';
import { metadataOf } from './fixture/metadata-of.ts';
import {
  bytePairOf,
  type PieceRow,
  sentencePieceOf,
  vocabularyMetadata,
} from './fixture/small-vocabularies.ts';

const ends = (rows: readonly PieceRow[], more = {}): string[] => {
  const tokenizer = openTokenizer(sentencePieceOf(rows, more));
  return [...tokenizer.endIds].map((id) => tokenizer.piece(id)).sort();
};

test('the ends are EOS, EOT, EOM and what is spelled like one', () => {
  assert.deepEqual(ends([['x']]), ['</s>']);
  const rows: PieceRow[] = [['<|eot_id|>', 0, 'control'], ['<end_of_turn>'], ['x'], ['y'], ['z']];
  assert.deepEqual(ends(rows), ['</s>', '<end_of_turn>', '<|eot_id|>']);
  const roles = {
    'tokenizer.ggml.eos_token_id': 261,
    'tokenizer.ggml.eot_token_id': 262,
    'tokenizer.ggml.eom_token_id': 263,
  };
  assert.deepEqual(ends(rows, roles), ['</s>', '<end_of_turn>', '<|eot_id|>', 'x', 'y', 'z']);
  assert.deepEqual(ends([['<|file_sep|>'], ['<|fim_prefix|>']]), ['</s>', '<|file_sep|>']);
});

test('an end marker is a control token even where the file forgot to say so', () => {
  const tokenizer = openTokenizer(bytePairOf([], {}, [['<|im_end|>']]));
  assert.equal(tokenizer.decode([256]), '');
  assert.equal(tokenizer.encode('<|im_end|>').length, 10);
  assert.deepEqual(tokenizer.encode('<|im_end|>', { special: true }), [256]);
});

test('in harmony, <|end|> closes a message and channels are shown', () => {
  const rows: PieceRow[] = ['<|end|>', '<|return|>', '<|call|>', '<|channel|>'].map((piece) => [
    piece,
    0,
    'control',
  ]);
  assert.deepEqual(ends(rows), ['</s>', '<|call|>', '<|return|>']);
  assert.equal(openTokenizer(sentencePieceOf(rows)).decode([262]), '<|channel|>');
  assert.ok(ends(rows.slice(0, 2)).includes('<|end|>'));
});

test('Phi 3 swallows white space after its special tokens', () => {
  const rows: PieceRow[] = [['<|user|>', 0, 'control'], ['a']];
  const encode = (name: string): number[] =>
    openTokenizer(
      sentencePieceOf(rows, { 'general.name': name, 'tokenizer.ggml.add_space_prefix': false }),
    ).encode('<|user|>\n a', { special: true });
  assert.deepEqual(encode('Phi3 mini'), [259, 260]);
  assert.deepEqual(encode('other'), [259, 3 + 0x0a, 3 + 0xe2, 3 + 0x96, 3 + 0x81, 260]);
});

test('a role outside the vocabulary is ignored with a warning', () => {
  const tokenizer = openTokenizer(sentencePieceOf([], { 'tokenizer.ggml.bos_token_id': 9999 }));
  assert.equal(tokenizer.bos, 1);
  assert.match(tokenizer.warnings?.[0] ?? '', /bos_token_id is 9999/);
  const none = openTokenizer(sentencePieceOf([], { 'tokenizer.ggml.bos_token_id': 0xffffffff }));
  assert.deepEqual([none.bos, none.addBos], [undefined, false]);
});

test('what is incomplete or unknown is refused by name', () => {
  assert.throws(() => openTokenizer(metadataOf({})), { code: 'bad-file' });
  assert.throws(() => openTokenizer(metadataOf({ 'tokenizer.ggml.model': 'bert' })), {
    code: 'unsupported',
    message: /'bert'.*llama, gpt2/,
  });
  assert.throws(() => openTokenizer(vocabularyMetadata('llama', [])), { code: 'bad-file', message: /empty/ });
  const short = { 'tokenizer.ggml.scores': new Float32Array(3) };
  assert.throws(() => openTokenizer(sentencePieceOf([], short)), {
    code: 'bad-file',
    message: /3 values for 259/,
  });
  const long: PieceRow[] = [['x'.repeat(10_000)]];
  assert.throws(() => openTokenizer(sentencePieceOf(long)), {
    code: 'bad-file',
    message: /Token 259 .* 10000/,
  });
  const noMerges = vocabularyMetadata('gpt2', [['a']], { 'tokenizer.ggml.pre': 'gpt-2' });
  assert.throws(() => openTokenizer(noMerges), { code: 'bad-file', message: /merges/ });
});

test('of equal pieces the last is found', () => {
  const tokenizer = openTokenizer(
    sentencePieceOf([['a'], ['a']], { 'tokenizer.ggml.add_space_prefix': false }),
  );
  assert.deepEqual(tokenizer.encode('a'), [260]);
});
