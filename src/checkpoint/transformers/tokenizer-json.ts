/**
 * tokenizer.json, the file of Hugging Face's tokenizers, as GGUF vocabulary: byte-level BPE (`gpt2`), BPE with byte
 * fallback, which is SentencePiece's (`llama`), and unigram (`t5`).
 */
import { NearfieldError } from '../../base/error.ts';
import { isRecord, isStrings, type JsonRecord } from '../json.ts';
import { quote } from '../quote.ts';
import type { MetadataDraft } from './metadata-draft.ts';
import { stepsOf } from './pipeline-steps.ts';
import { preTokenizerName } from './pre-tokenizer-name.ts';
import { type AddedToken, VocabularyDraft } from './vocabulary-draft.ts';

/** A vocabulary read from its files, not yet of the length the model's embedding has. */
export interface ReadVocabulary {
  readonly pieces: VocabularyDraft;
  /** The metadata of it besides pieces, kinds and scores. */
  write(metadata: MetadataDraft): void;
  readonly hasScores: boolean;
  /** Texts of special tokens put before and after every text, where the file says that. */
  readonly template?: { readonly first: string | undefined; readonly last: string | undefined } | undefined;
}

/** Throws `bad-file` for a file that is damaged, `unsupported` for a kind of model that no vocabulary here is. */
export function readTokenizerJson(fileName: string, file: unknown): ReadVocabulary {
  const model = isRecord(file) ? file.model : undefined;
  if (!isRecord(file) || !isRecord(model)) throw damaged(fileName, 'holds no model');
  const pieces = new VocabularyDraft(fileName);
  const added = addedTokens(file.added_tokens);
  const template = textTemplate(file.post_processor);
  // Old files leave the kind out.
  const kind = model.type ?? (model.merges === undefined ? 'Unigram' : 'BPE');
  if (kind === 'Unigram') return { ...readUnigram(fileName, file, model, added, pieces), template };
  if (kind !== 'BPE') {
    throw new NearfieldError(
      'unsupported',
      `${fileName}: vocabularies of kind ${quote(String(kind))} are not supported; there are BPE and Unigram`,
    );
  }
  const merges = mergePairs(fileName, model.merges);
  const vocabulary = isRecord(model.vocab) ? Object.entries(model.vocab) : [];
  const read = model.byte_fallback === true ? readSentencePiece : readByteLevel;
  return { ...read(fileName, file, vocabulary, merges, added, pieces), template };
}

type Merge = readonly [left: string, right: string];

/** Byte-level vocabularies spell words in a printable alphabet, so spaces do not occur in pieces. */
function readByteLevel(
  fileName: string,
  file: JsonRecord,
  vocabulary: readonly [string, unknown][],
  merges: readonly Merge[],
  added: readonly AddedToken[],
  pieces: VocabularyDraft,
): ReadVocabulary {
  for (const [piece, id] of vocabulary) pieces.set(idOf(fileName, piece, id), piece, 'normal');
  for (const token of added) pieces.add(token);
  const pre = preTokenizerName(file);
  return {
    pieces,
    hasScores: false,
    write(metadata) {
      metadata.set('tokenizer.ggml.model', 'string', 'gpt2');
      if (pre !== undefined) metadata.set('tokenizer.ggml.pre', 'string', pre);
      const joinedMerges = merges.map((pair) => pair.map((part) => part.replaceAll(' ', 'Ġ')).join(' '));
      metadata.set('tokenizer.ggml.merges', 'array of string', joinedMerges);
    },
  };
}

/** SentencePiece ranks merges by the score of what they make; the order of the merges is the order of the scores. */
function readSentencePiece(
  fileName: string,
  file: JsonRecord,
  vocabulary: readonly [string, unknown][],
  merges: readonly Merge[],
  added: readonly AddedToken[],
  pieces: VocabularyDraft,
): ReadVocabulary {
  const ranks = new Map<string, number>();
  for (const [left, right] of merges) {
    const piece = left + right;
    if (!ranks.has(piece)) ranks.set(piece, ranks.size);
  }
  const unknown = isRecord(file.model) ? file.model.unk_token : undefined;
  for (const [piece, id] of vocabulary) {
    const kind = piece === unknown ? 'unknown' : /^<0x[0-9A-F]{2}>$/.test(piece) ? 'byte' : 'normal';
    // What no merge makes is a character: its score is never asked for, only that it is the least.
    const score = kind === 'normal' ? -(ranks.get(piece) ?? ranks.size) : 0;
    pieces.set(idOf(fileName, piece, id), piece, kind, score);
  }
  addBesideUnknown(pieces, added);
  const prefix = prefixesSpace(file);
  return {
    pieces,
    hasScores: true,
    write(metadata) {
      writeKind(metadata, 'llama', prefix);
    },
  };
}

function readUnigram(
  fileName: string,
  file: JsonRecord,
  model: JsonRecord,
  added: readonly AddedToken[],
  pieces: VocabularyDraft,
): ReadVocabulary {
  const list = Array.isArray(model.vocab) ? model.vocab : [];
  for (const [id, item] of list.entries()) {
    const [piece, score] = Array.isArray(item) ? item : [];
    if (typeof piece !== 'string' || typeof score !== 'number')
      throw damaged(fileName, `has no piece and score as token ${id}`);
    pieces.set(id, piece, id === model.unk_id ? 'unknown' : 'normal', score);
  }
  addBesideUnknown(pieces, added);
  const steps = stepsOf(file.normalizer, 'normalizers');
  const charsmap = steps.find(({ type }) => type === 'Precompiled')?.precompiled_charsmap;
  const mergesSpaces = steps.some(
    ({ type, pattern }) => type === 'Replace' && isRecord(pattern) && pattern.Regex === ' {2,}',
  );
  const prefix = prefixesSpace(file);
  return {
    pieces,
    hasScores: true,
    write(metadata) {
      writeKind(metadata, 't5', prefix);
      metadata.set('tokenizer.ggml.remove_extra_whitespaces', 'bool', mergesSpaces);
      if (typeof charsmap === 'string') {
        metadata.set(
          'tokenizer.ggml.precompiled_charsmap',
          'array of uint8',
          bytesOfBase64(fileName, charsmap),
        );
      }
    },
  };
}

function addBesideUnknown(pieces: VocabularyDraft, added: readonly AddedToken[]): void {
  for (const token of added) if (pieces.kindOf(token.id) !== 'unknown') pieces.add(token);
}

/** Of vocabularies whose pieces hold spaces. */
function writeKind(metadata: MetadataDraft, model: string, prefixesSpaces: boolean): void {
  metadata.set('tokenizer.ggml.model', 'string', model);
  metadata.set('tokenizer.ggml.pre', 'string', 'default');
  metadata.set('tokenizer.ggml.add_space_prefix', 'bool', prefixesSpaces);
}

function idOf(fileName: string, piece: string, id: unknown): number {
  if (typeof id === 'number') return id;
  throw damaged(fileName, `gives token ${quote(piece)} no number`);
}

/** Merges are texts of two pieces with a space between, or pairs, which pieces with spaces need. */
function mergePairs(fileName: string, merges: unknown): readonly Merge[] {
  if (!Array.isArray(merges)) throw damaged(fileName, 'holds no merges');
  return merges.map((merge: unknown, index): Merge => {
    const parts = typeof merge === 'string' ? merge.split(' ') : isStrings(merge) ? merge : [];
    const [left, right, ...more] = parts;
    if (left && right && more.length === 0) return [left, right];
    throw damaged(fileName, `holds no pair as merge ${index}`);
  });
}

export function addedTokens(list: unknown): readonly AddedToken[] {
  if (!Array.isArray(list)) return [];
  return list.filter(isRecord).flatMap(({ id, content, special }) => {
    return typeof id === 'number' && typeof content === 'string'
      ? [{ id, content, special: special === true }]
      : [];
  });
}

/** Whether a space is put before the first word. */
function prefixesSpace({ normalizer, pre_tokenizer }: JsonRecord): boolean {
  if (stepsOf(normalizer, 'normalizers').some(({ type, prepend }) => type === 'Prepend' && prepend === '▁'))
    return true;
  const metaspace = stepsOf(pre_tokenizer, 'pretokenizers').find(({ type }) => type === 'Metaspace');
  if (!metaspace) return false;
  const { prepend_scheme: scheme, add_prefix_space: prefix } = metaspace;
  return scheme === undefined ? prefix !== false : scheme !== 'never';
}

/** A file without a template puts nothing around a text. */
function textTemplate(processor: unknown): ReadVocabulary['template'] {
  const template = stepsOf(processor, 'processors').find(({ type }) => type === 'TemplateProcessing');
  if (!template || !Array.isArray(template.single)) return { first: undefined, last: undefined };
  const tokenAt = (index: number): string | undefined => {
    const item: unknown = (template.single as unknown[]).at(index);
    const token = isRecord(item) ? item.SpecialToken : undefined;
    return isRecord(token) && typeof token.id === 'string' ? token.id : undefined;
  };
  return { first: tokenAt(0), last: tokenAt(-1) };
}

function bytesOfBase64(fileName: string, text: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch (cause) {
    throw new NearfieldError(
      'bad-file',
      `${fileName}: its map of characters is no base64; the file is corrupt`,
      { cause },
    );
  }
}

function damaged(fileName: string, problem: string): NearfieldError {
  return new NearfieldError('bad-file', `${fileName} ${problem}; the file is damaged or of another kind`);
}
