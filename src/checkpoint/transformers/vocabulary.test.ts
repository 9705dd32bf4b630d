/** Vocabularies from each kind of file; published ones against the ids recorded for them. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { NearfieldError } from '../../base/error.ts';
import type { MetadataValue } from '../../checkpoint.ts';
import { openCheckpoint } from '../../checkpoint.ts';
import { missing, sharedModel, sharedText, testVectors } from '../../tokenizer/fixture/shared-models.ts';
import { randomText, seededRandom } from '../../tokenizer/fixture/small-vocabularies.ts';
import { openTokenizer, type Tokenizer } from '../../tokenizer.ts';
import { memorySource } from '../memory-source.ts';
import { MetadataMap } from '../metadata.ts';
import { ModelFolder } from '../model-folder.ts';
import { ModelConfig } from './config.ts';
import { MetadataDraft } from './metadata-draft.ts';
import { translateVocabulary } from './vocabulary.ts';

type Files = { readonly [name: string]: string | object | Uint8Array };

async function metadataOf(files: Files, rows: number, config: object = {}): Promise<MetadataMap> {
  const given = Object.entries(files).map(([name, content]) => {
    const text = typeof content === 'string' ? content : JSON.stringify(content);
    return memorySource(content instanceof Uint8Array ? content : new TextEncoder().encode(text), name);
  });
  const sibling = () => Promise.reject(new NearfieldError('not-found', 'none'));
  const folder = new ModelFolder({ given, fileName: undefined, sibling, close: async () => {} }, undefined);
  const draft = new MetadataDraft();
  await translateVocabulary(folder, new ModelConfig('config.json', config), rows, draft);
  return new MetadataMap('test', draft.entries, draft.types);
}

const value = (metadata: MetadataMap, key: string): MetadataValue | undefined =>
  metadata.entries.get(`tokenizer.ggml.${key}`);

function checkVectors(tokenizer: Tokenizer, name: string, skip = /$^/): void {
  const { texts, ids } = testVectors(name);
  assert.ok(texts.length > 40);
  for (const [index, text] of texts.entries()) {
    if (!skip.test(text)) assert.deepEqual(tokenizer.encode(text), ids[index], JSON.stringify(text));
  }
}

const vectors = 'vocab-gguf/ggml-vocab-gpt-2.gguf.inp';
const folderFiles = (folder: string, ...names: string[]): Files =>
  Object.fromEntries(names.map((name) => [name, sharedText(`${folder}/${name}`)]));

test('Phi 2: byte-level BPE from tokenizer.json', { skip: missing('phi-2-tokenizer', vectors) }, async () => {
  const files = folderFiles('phi-2-tokenizer', 'tokenizer.json', 'tokenizer_config.json');
  const metadata = await metadataOf(files, 51_200);
  assert.equal(value(metadata, 'pre'), 'gpt-2');
  const tokenizer = openTokenizer(metadata);
  assert.deepEqual(tokenizer.warnings, []);
  assert.equal(tokenizer.vocabularySize, 51_200);
  assert.equal(tokenizer.piece(51_199), '[PAD51199]');
  checkVectors(tokenizer, 'ggml-vocab-gpt-2', / {2}|\t{2}/);
  assert.deepEqual(tokenizer.encode('    Hello\n    Hello'), [50284, 15496, 198, 50284, 15496]);
  assert.deepEqual([tokenizer.bos, tokenizer.eos, tokenizer.addBos], [50256, 50256, false]);
});

const phi3 = 'vocab-gguf/ggml-vocab-phi-3.gguf';

test('Phi 3: SentencePiece from tokenizer.json, as the GGUF file of its vocabulary', {
  skip: missing('phi-3-mini-tokenizer', phi3, vectors),
}, async () => {
  const files = folderFiles('phi-3-mini-tokenizer', 'tokenizer.json', 'tokenizer_config.json');
  const metadata = await metadataOf(files, 32_064);
  const checkpoint = await openCheckpoint(sharedModel(phi3));
  await checkpoint.close();
  const [ours, theirs] = [openTokenizer(metadata), openTokenizer(checkpoint.metadata)];
  checkVectors(ours, 'ggml-vocab-phi-3');
  const random = seededRandom(31);
  for (let trial = 0; trial < 300; trial++) {
    const text = randomText(random, 60);
    assert.deepEqual(ours.encode(text), theirs.encode(text), text);
  }
  assert.deepEqual(
    ours.encode('<|user|>Hi<|end|>', { special: true }),
    theirs.encode('<|user|>Hi<|end|>', { special: true }),
  );
  assert.deepEqual(ours.endIds, theirs.endIds);
  assert.match(metadata.string('tokenizer.chat_template'), /<\|assistant\|>/);
});

test('Qwen 2.5 and GPT-2 from vocab.json and merges.txt', {
  skip: missing('qwen2.5-tokenizer', 'gpt2-tokenizer', vectors),
}, async () => {
  const files = folderFiles('qwen2.5-tokenizer', 'vocab.json', 'merges.txt', 'tokenizer_config.json');
  const qwen = openTokenizer(await metadataOf(files, 151_936, { eos_token_id: [151_645, 151_643] }));
  checkVectors(qwen, 'ggml-vocab-qwen2');
  assert.deepEqual([qwen.bos, qwen.eos, qwen.addBos], [undefined, 151_645, false]);
  assert.ok(qwen.endIds.has(151_643) && qwen.endIds.has(151_645));
  const old = {
    ...folderFiles('gpt2-tokenizer', 'vocab.json', 'merges.txt'),
    'tokenizer_config.json': { tokenizer_class: 'GPT2TokenizerFast' },
  };
  checkVectors(openTokenizer(await metadataOf(old, 50_257)), 'ggml-vocab-gpt-2');
  await assert.rejects(metadataOf({ ...old, 'tokenizer_config.json': {} }, 50_257), { code: 'unsupported' });
});

test('Mistral from tokenizer.model', { skip: missing('mistral-tokenizers') }, async () => {
  const bytes = new Uint8Array(readFileSync(sharedModel('mistral-tokenizers/tokenizer.model.v1')));
  const metadata = await metadataOf(
    { 'tokenizer.model': bytes, 'tokenizer_config.json': { bos_token: '<s>', eos_token: '</s>' } },
    32_000,
  );
  const tokenizer = openTokenizer(metadata);
  const folder = 'mistral-tokenizers/samples/no_tools';
  const { tokens } = JSON.parse(sharedText(`${folder}/tokens_v1.json`)) as { tokens: number[] };
  const text = sharedText(`${folder}/text_v1.txt`)
    .replaceAll(/(<\/?s>)▁/g, '$1')
    .replaceAll('▁', ' ')
    .replaceAll('<0x0A>', '\n');
  assert.deepEqual(tokenizer.encode(text, { special: true }), tokens);
  assert.deepEqual([tokenizer.bos, tokenizer.eos, tokenizer.addBos, tokenizer.addEos], [1, 2, true, false]);
  for (const length of [1, 100, bytes.length - 1]) {
    await assert.rejects(metadataOf({ 'tokenizer.model': bytes.slice(0, length) }, 10), { code: 'bad-file' });
  }
});

const split = (pattern: string, more: object = {}) => ({
  type: 'Sequence',
  pretokenizers: [
    { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false, ...more },
    { type: 'ByteLevel', use_regex: false },
  ],
});

const words = (digits: string, contraction = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"): string =>
  String.raw`${contraction}|[^\r\n\p{L}\p{N}]?\p{L}+|${digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;

test('pre-tokenizers are known by their steps', async () => {
  const bytes = { type: 'ByteLevel', add_prefix_space: false, use_regex: true };
  const cases: readonly (readonly [object | null, object, string | undefined])[] = [
    [bytes, {}, 'gpt-2'],
    [
      { type: 'Sequence', pretokenizers: [{ type: 'Digits', individual_digits: true }, bytes] },
      {},
      'starcoder',
    ],
    [split(words(String.raw`\p{N}`)), {}, 'qwen2'],
    [split(words(String.raw`\p{N}{1,3}`)), {}, 'glm4'],
    [split(words(String.raw`\p{N}{1,3}`)), { ignore_merges: true }, 'llama-bpe'],
    [split(words(String.raw`\p{N}{1,3}`), { behavior: 'Removed', invert: true }), {}, 'glm4'],
    // cl100k as tiktoken spells it.
    [
      split(
        String.raw`'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+`,
      ),
      {},
      'glm4',
    ],
    [split(String.raw`\w+`), {}, undefined],
    [split(words(String.raw`\p{N}`), { behavior: 'MergedWithNext' }), {}, undefined],
    [null, {}, undefined],
  ];
  for (const [pre_tokenizer, model, name] of cases) {
    const file = { pre_tokenizer, model: { type: 'BPE', vocab: { a: 0 }, merges: [], ...model } };
    const metadata = await metadataOf({ 'tokenizer.json': file }, 1);
    assert.equal(value(metadata, 'pre'), name, JSON.stringify(pre_tokenizer));
    assert.equal(openTokenizer(metadata).warnings?.length, name === undefined ? 1 : 0);
  }
});

const small = {
  pre_tokenizer: { type: 'ByteLevel' },
  added_tokens: [
    { id: 3, content: '<|begin|>', special: true },
    { id: 4, content: '<|end|>', special: false },
    { id: 5, content: '<tool>', special: false },
  ],
  model: { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: ['a b'] },
};

test('roles, ends and additions come from whichever file has them', async () => {
  const template = {
    type: 'Sequence',
    processors: [
      { type: 'ByteLevel' },
      {
        type: 'TemplateProcessing',
        single: [{ SpecialToken: { id: '<|begin|>' } }, { Sequence: { id: 'A' } }],
      },
    ],
  };
  const files = {
    'tokenizer.json': { ...small, post_processor: template },
    'special_tokens_map.json': { bos_token: '<|begin|>' },
  };
  const tokenizer = openTokenizer(await metadataOf(files, 8, { eos_token_id: 4 }));
  assert.deepEqual([tokenizer.bos, tokenizer.eos, tokenizer.addBos, tokenizer.addEos], [3, 4, true, false]);
  const stated = {
    ...files,
    'tokenizer_config.json': { add_bos_token: false, bos_token: { content: '<|begin|>' } },
  };
  assert.equal(openTokenizer(await metadataOf(stated, 8)).addBos, false);
  const several = { ...files, 'generation_config.json': { eos_token_id: [4, 1, 2] } };
  assert.deepEqual(
    [...openTokenizer(await metadataOf(several, 8, { eos_token_id: 0 })).endIds].sort(),
    [1, 2, 4],
  );
});

test('added tokens: special ones, ones that look so, and words of the vocabulary', async () => {
  const metadata = await metadataOf({ 'tokenizer.json': small }, 7);
  assert.deepEqual(value(metadata, 'token_type'), Int32Array.of(1, 1, 1, 3, 3, 4, 5));
  assert.deepEqual(metadata.strings('tokenizer.ggml.tokens').slice(5), ['<tool>', '[PAD6]']);
  // More tokens than the embedding has rows are left out.
  assert.equal(metadata.strings('tokenizer.ggml.tokens').length, 7);
  assert.equal((await metadataOf({ 'tokenizer.json': small }, 2)).strings('tokenizer.ggml.tokens').length, 2);
});

test('templates: that of the folder, of the tokenizer, several by name', async () => {
  const key = 'tokenizer.chat_template';
  const of = async (files: Files) => metadataOf({ 'tokenizer.json': small, ...files }, 6);
  assert.equal((await of({})).has(key), false);
  assert.equal((await of({ 'tokenizer_config.json': { chat_template: 'one' } })).string(key), 'one');
  const named = [
    { name: 'default', template: 'plain' },
    { name: 'tool_use', template: 'tools' },
  ];
  const several = await of({ 'tokenizer_config.json': { chat_template: named } });
  assert.deepEqual([several.string(key), several.string(`${key}.tool_use`)], ['plain', 'tools']);
  const own = await of({ 'tokenizer_config.json': { chat_template: 'one' }, 'chat_template.jinja': 'own' });
  assert.equal(own.string(key), 'own');
});

test('unigram: scores, the unknown token, the map of characters', async () => {
  const file = {
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Precompiled', precompiled_charsmap: btoa('\x04\0\0\0\0\0\0\0') },
        { type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' },
      ],
    },
    pre_tokenizer: { type: 'Metaspace', replacement: '▁', add_prefix_space: true },
    added_tokens: [{ id: 1, content: '</s>', special: true }],
    model: {
      type: 'Unigram',
      unk_id: 2,
      vocab: [
        ['<pad>', 0],
        ['</s>', 0],
        ['<unk>', 0],
        ['▁a', -1.5],
        ['b', -2],
      ],
    },
  };
  const metadata = await metadataOf({ 'tokenizer.json': file }, 5);
  assert.deepEqual(value(metadata, 'token_type'), Int32Array.of(1, 3, 2, 1, 1));
  assert.deepEqual(value(metadata, 'scores'), Float32Array.of(0, 0, 0, -1.5, -2));
  assert.deepEqual(value(metadata, 'precompiled_charsmap'), Uint8Array.of(4, 0, 0, 0, 0, 0, 0, 0));
  assert.deepEqual(
    [value(metadata, 'add_space_prefix'), value(metadata, 'remove_extra_whitespaces')],
    [true, true],
  );
  assert.equal(value(metadata, 'model'), 't5');
});

test('damaged and unknown kinds are refused in one line', async () => {
  const cases: readonly (readonly [object, string, RegExp])[] = [
    [{}, 'bad-file', /holds no model/],
    [{ model: { type: 'WordPiece', vocab: {} } }, 'unsupported', /"WordPiece"/],
    [{ model: { type: 'BPE', vocab: { a: 0 } } }, 'bad-file', /holds no merges/],
    [{ model: { type: 'BPE', vocab: { a: 0 }, merges: ['a'] } }, 'bad-file', /no pair as merge 0/],
    [{ model: { type: 'BPE', vocab: { a: 'b' }, merges: [] } }, 'bad-file', /gives token "a" no number/],
    [{ model: { type: 'BPE', vocab: { a: -1 }, merges: [] } }, 'bad-file', /has the number -1/],
    [{ model: { type: 'Unigram', vocab: [['a']] } }, 'bad-file', /as token 0/],
  ];
  for (const [file, code, message] of cases) {
    await assert.rejects(metadataOf({ 'tokenizer.json': file }, 4), { code, message }, JSON.stringify(file));
  }
});
