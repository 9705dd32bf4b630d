/** Roles of tokens, what is put around a text, and the chat template: spread over several files of a model's folder. */
import { isRecord, type JsonRecord } from '../json.ts';
import type { MetadataDraft } from './metadata-draft.ts';
import type { ReadVocabulary } from './tokenizer-json.ts';

export interface TokenFiles {
  /** tokenizer_config.json over special_tokens_map.json. */
  readonly tokenizer: JsonRecord;
  /** generation_config.json over config.json. */
  readonly generation: JsonRecord;
  /** chat_template.jinja. */
  readonly template: string | undefined;
}

/** A role's name in Hugging Face's files and in GGUF's keys. */
const roles = [
  ['bos', 'bos'],
  ['eos', 'eos'],
  ['unk', 'unknown'],
  ['sep', 'seperator'],
  ['pad', 'padding'],
  ['mask', 'mask'],
] as const;

export function writeSpecialTokens(
  vocabulary: ReadVocabulary,
  { tokenizer, generation, template }: TokenFiles,
  metadata: MetadataDraft,
): void {
  const ids = new Map<string, number>();
  for (const [role, name] of roles) {
    const id = idOfToken(vocabulary, tokenizer[`${role}_token`]) ?? idsOf(generation[`${role}_token_id`])[0];
    if (id === undefined) continue;
    ids.set(role, id);
    metadata.set(`tokenizer.ggml.${name}_token_id`, 'uint32', id);
  }
  // A model may end in several ways; GGUF has a key for an end of turn and one for an end of a message.
  const otherEnds = idsOf(generation.eos_token_id).filter((id) => id !== ids.get('eos'));
  for (const [index, key] of ['eot', 'eom'].entries()) {
    const id = otherEnds[index];
    if (id !== undefined) metadata.set(`tokenizer.ggml.${key}_token_id`, 'uint32', id);
  }
  for (const [role, place] of [
    ['bos', 'first'],
    ['eos', 'last'],
  ] as const) {
    const adds = addsToken(vocabulary, tokenizer, role, place, ids.get(role));
    if (adds !== undefined) metadata.set(`tokenizer.ggml.add_${role}_token`, 'bool', adds);
  }
  writeTemplates(template, tokenizer.chat_template, metadata);
}

/** A token is stated by its text, or by an object that has it. */
function idOfToken({ pieces }: ReadVocabulary, token: unknown): number | undefined {
  const text = isRecord(token) ? token.content : token;
  return typeof text === 'string' ? pieces.idOf(text) : undefined;
}

/** One id or a list of them. */
function idsOf(value: unknown): readonly number[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  return list.filter((id): id is number => typeof id === 'number' && Number.isInteger(id) && id >= 0);
}

/** What tokenizer_config.json says; where it is silent what tokenizer.json puts around a text. */
function addsToken(
  vocabulary: ReadVocabulary,
  tokenizer: JsonRecord,
  role: 'bos' | 'eos',
  place: 'first' | 'last',
  id: number | undefined,
): boolean | undefined {
  const stated = tokenizer[`add_${role}_token`];
  if (typeof stated === 'boolean') return stated;
  if (!vocabulary.template) return undefined;
  const text = vocabulary.template[place];
  return text !== undefined && id !== undefined && vocabulary.pieces.idOf(text) === id;
}

/** A template of the folder's own stands before those of the tokenizer, which may be one or several by name. */
function writeTemplates(own: string | undefined, others: unknown, metadata: MetadataDraft): void {
  const key = 'tokenizer.chat_template';
  if (Array.isArray(others)) {
    for (const { name, template } of others.filter(isRecord)) {
      if (typeof template !== 'string' || typeof name !== 'string' || !/^\w{1,64}$/.test(name)) continue;
      metadata.set(name === 'default' ? key : `${key}.${name}`, 'string', template);
    }
  }
  const single = own ?? (typeof others === 'string' ? others : undefined);
  if (single !== undefined) metadata.set(key, 'string', single);
}
