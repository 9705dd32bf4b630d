/** The vocabulary of a model's folder, from whichever files it has. */
import { NearfieldError } from '../../base/error.ts';
import { isRecord, type JsonRecord } from '../json.ts';
import type { ModelFolder } from '../model-folder.ts';
import type { ModelConfig } from './config.ts';
import type { MetadataDraft } from './metadata-draft.ts';
import { readSentencePieceModel } from './sentencepiece-model.ts';
import { writeSpecialTokens } from './special-tokens.ts';
import { addedTokens, type ReadVocabulary, readTokenizerJson } from './tokenizer-json.ts';
import type { AddedToken } from './vocabulary-draft.ts';

/** Pre-tokenizers of the folders that are too old for a tokenizer.json, which would say it. */
const byteLevelClasses: ReadonlyMap<string, JsonRecord> = new Map<string, JsonRecord>([
  ...['GPT2Tokenizer', 'CodeGenTokenizer', 'GPTNeoXTokenizer'].map(
    (name) => [name, { type: 'ByteLevel' }] as const,
  ),
  [
    'Qwen2Tokenizer',
    {
      type: 'Sequence',
      pretokenizers: [
        {
          type: 'Split',
          pattern: {
            Regex: String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
          },
        },
        { type: 'ByteLevel', use_regex: false },
      ],
    },
  ],
]);

/** `rows`: of the embedding. Writes nothing where the folder has no file of a vocabulary: such a model takes ids only. */
export async function translateVocabulary(
  folder: ModelFolder,
  config: ModelConfig,
  rows: number,
  metadata: MetadataDraft,
): Promise<void> {
  const [tokenizerConfig, specialMap, generation, template] = await Promise.all([
    folder.json('tokenizer_config.json'),
    folder.json('special_tokens_map.json'),
    folder.json('generation_config.json'),
    folder.text('chat_template.jinja'),
  ]);
  const tokenizer = { ...recordOf(specialMap), ...recordOf(tokenizerConfig) };
  const vocabulary = await readVocabulary(folder, tokenizer);
  if (!vocabulary) return;
  vocabulary.write(metadata);
  vocabulary.pieces.write(metadata, rows, vocabulary.hasScores);
  writeSpecialTokens(
    vocabulary,
    { tokenizer, generation: { ...config.fields, ...recordOf(generation) }, template },
    metadata,
  );
}

async function readVocabulary(
  folder: ModelFolder,
  tokenizer: JsonRecord,
): Promise<ReadVocabulary | undefined> {
  const file = await folder.json('tokenizer.json');
  if (file !== undefined) return readTokenizerJson(folder.nameOf('tokenizer.json'), file);
  const model = await folder.bytes('tokenizer.model');
  const added = tokensOf(tokenizer.added_tokens_decoder, await folder.json('added_tokens.json'));
  if (model) return readSentencePieceModel(folder.nameOf('tokenizer.model'), model, added);
  return readPairFiles(folder, tokenizer, added);
}

/** vocab.json and merges.txt, what byte-level vocabularies were published as before there was tokenizer.json. */
async function readPairFiles(
  folder: ModelFolder,
  { tokenizer_class: className }: JsonRecord,
  added: readonly AddedToken[],
): Promise<ReadVocabulary | undefined> {
  const [vocab, merges] = await Promise.all([folder.json('vocab.json'), folder.text('merges.txt')]);
  if (vocab === undefined || merges === undefined) return undefined;
  const preTokenizer = byteLevelClasses.get(
    typeof className === 'string' ? className.replace(/Fast$/, '') : '',
  );
  if (!preTokenizer) {
    throw new NearfieldError(
      'unsupported',
      `${folder.nameOf('vocab.json')}: how words are cut is known for ${[...byteLevelClasses.keys()].join(', ')} only; add the model's tokenizer.json`,
    );
  }
  const lines = merges.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#version'));
  return readTokenizerJson(folder.nameOf('vocab.json'), {
    model: { type: 'BPE', vocab, merges: lines.map((line) => line.trimEnd()) },
    added_tokens: added,
    pre_tokenizer: preTokenizer,
  });
}

/** `decoder` has tokens by id, `ids` has ids by text. */
function tokensOf(decoder: unknown, ids: unknown): readonly AddedToken[] {
  const stated = isRecord(decoder) ? Object.entries(decoder) : [];
  const listed = isRecord(ids) ? Object.entries(ids) : [];
  return addedTokens([
    ...listed.map(([content, id]) => ({ id, content })),
    ...stated.map(([id, token]) => ({ ...recordOf(token), id: Number(id) })),
  ]);
}

const recordOf = (value: unknown): JsonRecord => (isRecord(value) ? value : {});
