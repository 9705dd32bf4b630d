/** Text to token ids and back, from a checkpoint's own vocabulary. */
import { NearfieldError } from './base/error.ts';
import type { Metadata } from './checkpoint.ts';
import { BytePairEncoder } from './tokenizer/byte-pair.ts';
import { defaultPreTokenizer, type PreTokenizer, preTokenizers } from './tokenizer/pre-tokenizers.ts';
import { SentencePieceEncoder } from './tokenizer/sentence-piece.ts';
import type { TextToIds } from './tokenizer/text-to-ids.ts';
import { UnigramEncoder } from './tokenizer/unigram.ts';
import { readVocabulary, type Vocabulary, type VocabularyDefaults } from './tokenizer/vocabulary.ts';
import { VocabularyTokenizer } from './tokenizer/vocabulary-tokenizer.ts';

export interface Tokenizer {
  readonly vocabularySize: number;
  /** Ids by role; undefined where the vocabulary has none. */
  readonly bos: number | undefined;
  readonly eos: number | undefined;
  /** Every id that ends a generation (EOS, end of turn, …). */
  readonly endIds: ReadonlySet<number>;
  /** Whether the vocabulary asks for BOS / EOS around a text. */
  readonly addBos: boolean;
  readonly addEos: boolean;
  /** What the metadata leaves unclear, one line each; text may be cut otherwise than the model learnt it. */
  readonly warnings?: readonly string[];
  /**
   * Ids of `text`. `special: true` turns the text of control tokens into their ids; otherwise such text is ordinary
   * text. (User-defined tokens are words of the vocabulary and always found.) Nothing is added unless `addSpecial`
   * (BOS/EOS as the vocabulary asks).
   */
  encode(text: string, options?: { special?: boolean; addSpecial?: boolean }): number[];
  /**
   * Text of ids; control tokens are left out unless `special`. The space that some vocabularies put before the first
   * word is taken off again. Bytes that are no UTF-8 become U+FFFD. Throws `bad-argument` for an id out of range.
   */
  decode(ids: ArrayLike<number>, options?: { special?: boolean }): string;
  /** Bytes one id stands for (a token may hold part of a character). Empty for control tokens unless `special`. */
  bytes(id: number, options?: { special?: boolean }): Uint8Array;
  /** The piece as the vocabulary spells it. */
  piece(id: number): string;
  /**
   * A detokenizer that never emits half a character. What it emits for a list of ids is what `decode` gives.
   * `continues: true`: the ids go on from a text (a prompt), so the first word keeps its space.
   */
  stream(options?: { special?: boolean; continues?: boolean }): DetokenizerStream;
}

export interface DetokenizerStream {
  /** Text completed by this id; empty while a character is incomplete. */
  push(id: number): string;
  /** What is left, incomplete bytes as U+FFFD. */
  flush(): string;
}

export type OpenTokenizer = (metadata: Metadata) => Tokenizer;

/** A kind of vocabulary. */
interface TokenizerMember {
  /** What `tokenizer.ggml.model` calls it. */
  readonly names: readonly string[];
  readonly defaults: (metadata: Metadata) => VocabularyDefaults;
  readonly open: (vocabulary: Vocabulary, metadata: Metadata, warnings: string[]) => TextToIds;
}

const members: readonly TokenizerMember[] = [
  {
    names: ['llama'],
    defaults: () => ({ bos: 1, eos: 2, unknown: 0, addBos: true, addEos: false, addSpacePrefix: true }),
    open: (vocabulary) => new SentencePieceEncoder(vocabulary),
  },
  {
    names: ['gpt2', 'gemma4'],
    defaults: (metadata) => ({
      addBos: preTokenizerOf(metadata, []).addBos ?? false,
      addEos: false,
      addSpacePrefix: false,
    }),
    open: (vocabulary, metadata, warnings) =>
      new BytePairEncoder(
        vocabulary,
        metadata.strings('tokenizer.ggml.merges'),
        preTokenizerOf(metadata, warnings),
      ),
  },
  {
    names: ['t5'],
    defaults: () => ({ eos: 1, unknown: 2, addBos: false, addEos: true, addSpacePrefix: false }),
    open: (vocabulary, metadata) => {
      const charsmap = metadata.numbers('tokenizer.ggml.precompiled_charsmap');
      return new UnigramEncoder(vocabulary, {
        mergeSpaces: metadata.boolean('tokenizer.ggml.remove_extra_whitespaces', false),
        charsmap: charsmap === undefined || charsmap.length === 0 ? undefined : Uint8Array.from(charsmap),
      });
    },
  },
];

/**
 * Throws `unsupported` for a kind of vocabulary that no member handles, `bad-file` where the metadata is incomplete or
 * contradicts itself.
 */
export function openTokenizer(metadata: Metadata): Tokenizer {
  const name = metadata.string('tokenizer.ggml.model');
  const member = members.find((candidate) => candidate.names.includes(name));
  if (member === undefined) {
    const known = members.flatMap((candidate) => candidate.names).join(', ');
    throw new NearfieldError(
      'unsupported',
      `Vocabularies of kind '${name}' (tokenizer.ggml.model) are not supported; supported: ${known}`,
    );
  }
  const vocabulary = readVocabulary(metadata, member.defaults(metadata));
  const warnings: string[] = [];
  const encoder = member.open(vocabulary, metadata, warnings);
  return new VocabularyTokenizer(vocabulary, encoder, warnings);
}

function preTokenizerOf(metadata: Metadata, warnings: string[]): PreTokenizer {
  // Gemma 4 files name their kind of vocabulary after the model and may leave the pre-tokenizer out.
  const model = metadata.string('tokenizer.ggml.model');
  const name = metadata.string('tokenizer.ggml.pre', model === 'gpt2' ? '' : model);
  const found = preTokenizers.find((entry) => entry.names.includes(name));
  if (found !== undefined) return found;
  warnings.push(
    name === ''
      ? 'The file names no pre-tokenizer (tokenizer.ggml.pre); the default cuts words, which may not be how the model learnt them'
      : `Unknown pre-tokenizer '${name}' (tokenizer.ggml.pre); the default cuts words, which may not be how the model learnt them`,
  );
  return defaultPreTokenizer;
}

export {
  type ChatMessage,
  type ChatTemplate,
  fallbackTemplate,
  openChatTemplate,
  type RenderOptions,
} from './tokenizer/chat-template.ts';
