/** Tokenizers against llama.cpp on random Unicode: published vocabularies, every pre-tokenizer, unigram with a character map. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileSink, type GgufValue, openCheckpoint, writeGguf } from '../../src/checkpoint.ts';
import { byteCharacters } from '../../src/tokenizer/byte-alphabet.ts';
import { compileCharacterMap } from '../../src/tokenizer/fixture/compile-character-map.ts';
import { missing, sharedModel } from '../../src/tokenizer/fixture/shared-models.ts';
import { randomText, seededRandom } from '../../src/tokenizer/fixture/small-vocabularies.ts';
import { preTokenizers } from '../../src/tokenizer/pre-tokenizers.ts';
import { openTokenizer, type Tokenizer } from '../../src/tokenizer.ts';

interface OracleModel {
  tokenize(text: string, specialTokens: boolean): number[];
  isEogToken(id: number): boolean;
  dispose(): Promise<void>;
}
interface Oracle {
  loadModel(options: { modelPath: string; vocabOnly: boolean }): Promise<OracleModel>;
  dispose(): Promise<void>;
}

const oracleUrl = new URL('../oracle/node_modules/node-llama-cpp/dist/index.js', import.meta.url);
const absent = existsSync(oracleUrl)
  ? false
  : 'node-llama-cpp is not installed: node scripts/ready.mjs --oracle';
let oracle: Promise<Oracle> | undefined;
function llama(): Promise<Oracle> {
  oracle ??= import(oracleUrl.href).then(({ getLlama }) =>
    getLlama({ gpu: false, build: 'never', skipDownload: true, progressLogs: false, logger: () => {} }),
  );
  return oracle;
}
const folder = mkdtempSync(join(tmpdir(), 'nearfield-tokenizer-'));
after(async () => {
  rmSync(folder, { recursive: true });
  await (await oracle)?.dispose();
});

async function compare(
  path: string,
  name: string,
  run: (ours: Tokenizer, theirs: OracleModel) => void,
): Promise<void> {
  const checkpoint = await openCheckpoint(path);
  const ours = openTokenizer(checkpoint.metadata);
  await checkpoint.close();
  const theirs = await (await llama()).loadModel({ modelPath: path, vocabOnly: true });
  try {
    run(ours, theirs);
  } catch (error) {
    throw new Error(`${name}: ${(error as Error).message}`, { cause: error });
  } finally {
    await theirs.dispose();
  }
}

function sameIds(ours: Tokenizer, theirs: OracleModel, text: string, special: boolean): void {
  assert.deepEqual(ours.encode(text, { special }), [...theirs.tokenize(text, special)], JSON.stringify(text));
}

for (const path of [
  'vocab-gguf/ggml-vocab-gpt-2.gguf',
  'vocab-gguf/ggml-vocab-mpt.gguf',
  'vocab-gguf/ggml-vocab-gpt-neox.gguf',
  'vocab-gguf/ggml-vocab-falcon.gguf',
  'vocab-gguf/ggml-vocab-phi-3.gguf',
  'fable/fable-1m-q8_0.gguf',
  'stories260k/stories260k-f32.gguf',
]) {
  test(`llama.cpp agrees: ${path}`, { skip: absent || missing(path) }, async () => {
    await compare(sharedModel(path), path, (ours, theirs) => {
      const random = seededRandom(21);
      const end = ours.piece([...ours.endIds][0] ?? 0);
      for (let trial = 0; trial < 60; trial++) {
        const text = randomText(random, 60);
        sameIds(ours, theirs, text, false);
        sameIds(ours, theirs, `${text}${end}\n ${text}`, true);
      }
      for (let id = 0; id < ours.vocabularySize; id++) {
        assert.equal(ours.endIds.has(id), theirs.isEogToken(id), `end of generation: ${id}`);
      }
    });
  });
}

/** Byte pairs of a text by frequency, over spaces and digits and all, so that every cut of a splitter shows. */
function trainMerges(text: string, count: number): string[] {
  let symbols = Array.from(new TextEncoder().encode(text), (byte) => byteCharacters[byte] ?? '');
  const merges: string[] = [];
  while (merges.length < count) {
    const counts = new Map<string, number>();
    for (let at = 1; at < symbols.length; at++) {
      const pair = `${symbols[at - 1]} ${symbols[at]}`;
      counts.set(pair, (counts.get(pair) ?? 0) + 1);
    }
    const [best] = [...counts].reduce((top, pair) => (pair[1] > top[1] ? pair : top), ['', 1]);
    if (best === '') break;
    merges.push(best);
    const next: string[] = [];
    for (const symbol of symbols) {
      if (next.length > 0 && `${next.at(-1)} ${symbol}` === best) next.push(`${next.pop()}${symbol}`);
      else next.push(symbol);
    }
    symbols = next;
  }
  return merges;
}

async function writeVocabulary(name: string, metadata: { [key: string]: GgufValue }): Promise<string> {
  const path = join(folder, `${name}.gguf`);
  await writeGguf(await fileSink(path), { metadata, tensors: [] });
  return path;
}

/**
 * Where llama.cpp departs from the models' own patterns, what is taken out of the text: beyond ASCII it knows only coarse
 * categories (in some entries no case), it joins what stands before a group of digits to it, and in ranges that hold Unicode spaces it has none.
 */
const departures: { readonly [name: string]: RegExp } = {
  'gpt-4o': /[^ -~\s]/gu,
  tekken: /[^ -~\s]/gu,
  'kimi-k2': /[^ -~\s]|[A-Z]/gu,
  youtu: /[^ -~\s]|[A-Z]/gu,
  'granite-embed-multi-97m': /[^ -~\s]/gu,
  afmoe: /\p{N}/gu,
  tiny_aya: /[^ -~\s]|[A-Z0-9]/gu,
  'deepseek-llm': /[\u2000-\u200a\u3000]/gu,
  'deepseek-coder': /[\u2000-\u200a\u3000]/gu,
};

test('llama.cpp agrees: every pre-tokenizer', { skip: absent }, async () => {
  const random = seededRandom(22);
  const corpus = Array.from({ length: 60 }, () => randomText(random, 60)).join(' ');
  const merges = trainMerges(`${corpus}${corpus.replaceAll(/[^ -~\n]/g, ' ')}`, 600);
  const tokens = [...new Set([...byteCharacters, ...merges.map((merge) => merge.replace(' ', ''))])];
  for (const { names, characters } of preTokenizers) {
    const name = names[0] ?? '';
    // Merges here are spelled in the byte alphabet.
    if (characters) continue;
    const path = await writeVocabulary(name, {
      'general.architecture': 'llama',
      'tokenizer.ggml.model': 'gpt2',
      'tokenizer.ggml.pre': name,
      'tokenizer.ggml.tokens': tokens,
      'tokenizer.ggml.merges': merges,
      'tokenizer.ggml.add_bos_token': false,
      'tokenizer.ggml.bos_token_id': { type: 'uint32', value: 0 },
      'tokenizer.ggml.eos_token_id': { type: 'uint32', value: 0 },
    });
    await compare(path, name, (ours, theirs) => {
      for (let trial = 0; trial < 60; trial++) {
        const text = randomText(random, 50).replaceAll(departures[name] ?? /(?!)/gu, 'x');
        sameIds(ours, theirs, text, false);
      }
    });
  }
});

test('llama.cpp agrees: unigram with a character map', { skip: absent }, async () => {
  const random = seededRandom(23);
  const words = new Set([...'▁abcdefghijklmnopqrstuvwxyz0123456789.,éß中文']);
  while (words.size < 400) {
    const length = 2 + Math.floor(random() * 4);
    words.add(Array.from({ length }, () => '▁abcdefghi123'[Math.floor(random() * 13)]).join(''));
  }
  const tokens = ['<pad>', '</s>', '<unk>', ...words];
  const charsmap = compileCharacterMap([
    ['A', 'a'],
    ['É', 'é'],
    ['\t', ' '],
    ['1', 'one'],
    ['10', 'ten'],
    ['ﬁ', 'fi'],
    ['​', ''],
  ]);
  for (const prefix of [false, true]) {
    for (const merged of [false, true]) {
      const path = await writeVocabulary(`unigram-${prefix}-${merged}`, {
        'general.architecture': 'llama',
        'tokenizer.ggml.model': 't5',
        'tokenizer.ggml.tokens': tokens,
        'tokenizer.ggml.scores': Float32Array.from(tokens, () => -1 - random() * 8),
        'tokenizer.ggml.token_type': Int32Array.from(tokens, (_, id) => [3, 3, 2][id] ?? 1),
        'tokenizer.ggml.add_space_prefix': prefix,
        'tokenizer.ggml.remove_extra_whitespaces': merged,
        'tokenizer.ggml.precompiled_charsmap': charsmap,
      });
      await compare(path, `prefix ${prefix}, merged ${merged}`, (ours, theirs) => {
        for (let trial = 0; trial < 100; trial++) {
          const text = Array.from(
            { length: 30 },
            () => 'aAbcdé É110\t  ﬁx中😀'[Math.floor(random() * 18)],
          ).join('');
          sameIds(ours, theirs, text.replaceAll(/\p{Surrogate}/gu, ''), false);
        }
      });
    }
  }
});
