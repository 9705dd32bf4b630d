/** Published vocabularies against the ids recorded for them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openCheckpoint } from '../checkpoint.ts';
import { openTokenizer, type Tokenizer } from '../tokenizer.ts';
import { metadataOf } from './fixture/metadata-of.ts';
import { sentencePieceMetadata } from './fixture/sentencepiece-model.ts';
import { missing, sharedModel, sharedText, testVectors } from './fixture/shared-models.ts';
import { randomText, seededRandom } from './fixture/small-vocabularies.ts';
import {
  bytePairMetadata,
  mergesOf,
  tokenizerJsonMetadata,
  vocabAndMergesMetadata,
} from './fixture/tokenizer-files.ts';

async function openGguf(path: string): Promise<Tokenizer> {
  const checkpoint = await openCheckpoint(sharedModel(path));
  try {
    return openTokenizer(checkpoint.metadata);
  } finally {
    await checkpoint.close();
  }
}

function checkVectors(tokenizer: Tokenizer, name: string, skip = (_text: string) => false): void {
  const { texts, ids } = testVectors(name);
  assert.equal(texts.length, ids.length);
  assert.ok(texts.length > 40);
  for (const [index, text] of texts.entries()) {
    if (skip(text)) continue;
    assert.deepEqual(tokenizer.encode(text), ids[index], JSON.stringify(text));
    assert.equal(tokenizer.decode(ids[index] ?? []), text);
  }
}

const vectorFolder = 'vocab-gguf/ggml-vocab-gpt-2.gguf.inp';

for (const name of ['gpt-2', 'phi-3', 'falcon', 'mpt']) {
  const path = `vocab-gguf/ggml-vocab-${name}.gguf`;
  test(`${name}: llama.cpp's vectors`, { skip: missing(path, vectorFolder) }, async () => {
    const tokenizer = await openGguf(path);
    assert.deepEqual(tokenizer.warnings, []);
    checkVectors(tokenizer, `ggml-vocab-${name}`);
  });
}

test('Qwen 2.5: llama.cpp’s vectors', { skip: missing('qwen2.5-tokenizer', vectorFolder) }, () => {
  const tokenizer = openTokenizer(metadataOf(vocabAndMergesMetadata('qwen2.5-tokenizer', 'qwen2')));
  checkVectors(tokenizer, 'ggml-vocab-qwen2');
  const turn = '<|im_start|>user\nHi<|im_end|>';
  assert.deepEqual(tokenizer.encode(turn, { special: true }), [151644, 872, 198, 13048, 151645]);
  assert.ok(tokenizer.encode(turn).every((id) => id < 151643));
  assert.ok(tokenizer.endIds.has(151643) && tokenizer.endIds.has(151645) && !tokenizer.endIds.has(151644));
});

test('GPT-2 from vocab.json and merges.txt', { skip: missing('gpt2-tokenizer', vectorFolder) }, () => {
  const vocab = JSON.parse(sharedText('gpt2-tokenizer/vocab.json')) as { [piece: string]: number };
  const merges = mergesOf(sharedText('gpt2-tokenizer/merges.txt'));
  checkVectors(openTokenizer(metadataOf(bytePairMetadata(vocab, merges, [], 'gpt-2'))), 'ggml-vocab-gpt-2');
});

test('Phi 2: GPT-2 with tokens for runs of spaces', {
  skip: missing('phi-2-tokenizer', vectorFolder),
}, () => {
  const tokenizer = openTokenizer(
    metadataOf(tokenizerJsonMetadata('phi-2-tokenizer/tokenizer.json', 'phi-2')),
  );
  checkVectors(tokenizer, 'ggml-vocab-gpt-2', (text) => / {2}|\t{2}/.test(text));
  assert.deepEqual(tokenizer.encode('  '), [50286]);
  assert.deepEqual(tokenizer.encode('   Hello'), [50285, 15496]);
  assert.deepEqual(tokenizer.encode('    Hello\n    Hello'), [50284, 15496, 198, 50284, 15496]);
});

test('GPT-NeoX: every text comes back', {
  skip: missing('vocab-gguf/ggml-vocab-gpt-neox.gguf'),
}, async () => {
  const tokenizer = await openGguf('vocab-gguf/ggml-vocab-gpt-neox.gguf');
  assert.equal(tokenizer.warnings?.length, 1);
  const random = seededRandom(10);
  for (let trial = 0; trial < 200; trial++) {
    const text = randomText(random, 60);
    assert.equal(tokenizer.decode(tokenizer.encode(text)), text);
  }
  // The runs of spaces are user-defined tokens.
  assert.deepEqual(tokenizer.encode('    '), [50274]);
});

test('WordPiece is refused by name', { skip: missing('vocab-gguf/ggml-vocab-bert-bge.gguf') }, async () => {
  await assert.rejects(openGguf('vocab-gguf/ggml-vocab-bert-bge.gguf'), {
    code: 'unsupported',
    message: /'bert'/,
  });
});

/** A rendered Mistral chat as text: the recording shows spaces as U+2581, those that encoding adds among them. */
function asTyped(recorded: string, controls: RegExp): string {
  return recorded.replaceAll(controls, '$1').replaceAll('▁', ' ').replaceAll('<0x0A>', '\n');
}

const mistral = 'mistral-tokenizers';

for (const [version, model, sample] of [
  ['v1', 'tokenizer.model.v1', 'no_tools'],
  ['v3', 'mistral_instruct_tokenizer_240323.model.v3', 'no_tools'],
  ['v3', 'mistral_instruct_tokenizer_240323.model.v3', 'get_weather_full'],
] as const) {
  test(`Mistral ${version}: ${sample}`, { skip: missing(`${mistral}/${model}`) }, () => {
    const tokenizer = openTokenizer(metadataOf(sentencePieceMetadata(sharedModel(`${mistral}/${model}`))));
    const folder = `${mistral}/samples/${sample}`;
    const recorded = sharedText(`${folder}/text_${version}.txt`);
    const { tokens } = JSON.parse(sharedText(`${folder}/tokens_${version}.json`)) as { tokens: number[] };
    const controls = version === 'v1' ? /(<\/?s>)▁/g : /(<\/?s>|\[\/?[A-Z_]+\])▁/g;
    assert.deepEqual(tokenizer.encode(asTyped(recorded, controls), { special: true }), tokens);
  });
}

const fable = 'fable/fable-1m-q8_0.gguf';

test('fable: recorded prompts', { skip: missing(fable, 'fable/reference.json') }, async () => {
  const tokenizer = await openGguf(fable);
  const reference = JSON.parse(sharedText('fable/reference.json')) as {
    greedy: { prompt: string; promptIds: number[]; ids: number[] }[];
  };
  for (const { prompt, promptIds, ids } of reference.greedy) {
    assert.deepEqual(tokenizer.encode(prompt, { addSpecial: true }), promptIds);
    assert.equal(tokenizer.decode(promptIds), prompt);
    // A continuation keeps the space before its first word.
    const stream = tokenizer.stream({ continues: true });
    const continuation = ids.map((id) => stream.push(id)).join('') + stream.flush();
    assert.equal(prompt + continuation, tokenizer.decode([...promptIds, ...ids]));
  }
  const model = openTokenizer(metadataOf(sentencePieceMetadata(sharedModel('fable/tokenizer.model'))));
  const random = seededRandom(11);
  for (let trial = 0; trial < 100; trial++) {
    const text = randomText(random, 60);
    assert.deepEqual(model.encode(text), tokenizer.encode(text));
    assert.equal(tokenizer.decode(tokenizer.encode(text)), text);
  }
});

test('tok512: recorded stories', { skip: missing('stories260k/stories260k-f32.gguf') }, async () => {
  const reference = JSON.parse(sharedText('stories260k/reference-greedy.json')) as {
    from_prompt: { text_in: string; prompt_ids: number[]; ids: number[]; text: string };
  };
  const { text_in, prompt_ids, ids, text } = reference.from_prompt;
  for (const path of ['stories260k/stories260k-f32.gguf', 'stories280k-tok512/stories280k-tok512-f32.gguf']) {
    const tokenizer = await openGguf(path);
    assert.deepEqual(tokenizer.encode(text_in, { addSpecial: true }), prompt_ids);
    assert.equal(tokenizer.decode(ids), text);
    const encoded = tokenizer.encode(text, { addSpecial: true });
    assert.equal(tokenizer.decode(encoded), text);
  }
});

test('tok105: no byte tokens, so unknown', { skip: missing('babyllama-tok105/tok105.model') }, () => {
  const path = sharedModel('babyllama-tok105/tok105.model');
  const tokenizer = openTokenizer(metadataOf(sentencePieceMetadata(path)));
  const text = 'Once upon a time';
  assert.equal(tokenizer.decode(tokenizer.encode(text)), text);
  const ids = tokenizer.encode('a漢字b');
  assert.equal(ids.filter((id) => id === 0).length, 1);
});
