/**
 * Which pre-tokenizer a tokenizer.json describes, by the name GGUF has for it: its steps are spelled as one line and looked
 * up. Patterns are the models' own.
 */
import { isRecord, type JsonRecord } from '../json.ts';
import { stepsOf } from './pipeline-steps.ts';

const gpt2 = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;
const contraction = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const spaces = String.raw`\s*[\r\n]+|\s+(?!\S)|\s+`;

const cl100k = (digits: string): string =>
  String.raw`${contraction}|[^\r\n\p{L}\p{N}]?\p{L}+|${digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|${spaces}`;

const upper = String.raw`[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`;
const lower = String.raw`[\p{Ll}\p{Lm}\p{Lo}\p{M}]`;

const o200k = (suffix: string, digits: string): string =>
  String.raw`[^\r\n\p{L}\p{N}]?${upper}*${lower}+${suffix}|[^\r\n\p{L}\p{N}]?${upper}+${lower}*${suffix}|${digits}| ?[^\s\p{L}\p{N}]+[\r\n/]*|${spaces}`;

const bytes = 'bytes';
const gpt2Words = 'words and bytes';
const split = (pattern: string): string => `split ${pattern}`;

/** By steps, joined by line ends. */
const knownSteps: ReadonlyMap<string, string> = new Map(
  (
    [
      ['gpt-2', gpt2Words],
      ['gpt-2', split(gpt2), bytes],
      ['starcoder', 'each digit', gpt2Words],
      ['falcon', 'punctuation Contiguous', gpt2Words, 'digits', split('[0-9][0-9][0-9]')],
      ['qwen2', split(cl100k(String.raw`\p{N}`)), bytes],
      ['glm4', split(cl100k(String.raw`\p{N}{1,3}`)), bytes],
      ['gpt-4o', split(o200k(`${contraction}?`, String.raw`\p{N}{1,3}`)), bytes],
      ['tekken', split(o200k('', String.raw`\p{N}`)), bytes],
      [
        'deepseek-v3',
        split(String.raw`\p{N}{1,3}`),
        split('[一-龥぀-ゟ゠-ヿ]+'),
        split(
          String.raw`[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_${'`'}{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|${spaces}`,
        ),
        bytes,
      ],
      ['bloom', split(String.raw` ?[^(\s|[.,!?…。，、।۔،])]+`), bytes],
    ] as const
  ).map(([name, ...steps]) => [steps.join('\n'), name]),
);

/** Where a word that is a token is that token, whatever the merges make of it. */
const withoutMerging: ReadonlyMap<string, string> = new Map([['glm4', 'llama-bpe']]);

/** Undefined where the steps are none of those known. */
export function preTokenizerName({ pre_tokenizer, model }: JsonRecord): string | undefined {
  const steps = stepsOf(pre_tokenizer, 'pretokenizers').map(spell);
  const name = knownSteps.get(steps.join('\n'));
  if (name === undefined || !isRecord(model) || model.ignore_merges !== true) return name;
  return withoutMerging.get(name) ?? name;
}

function spell(step: JsonRecord): string {
  const { type, pattern, behavior, invert, individual_digits: each, use_regex: cuts } = step;
  if (type === 'ByteLevel') return cuts === false ? bytes : gpt2Words;
  if (type === 'Digits') return each === true ? 'each digit' : 'digits';
  if (type === 'Punctuation') return `punctuation ${String(behavior ?? 'Isolated')}`;
  const source = isRecord(pattern) ? (pattern.Regex ?? pattern.String) : undefined;
  // Matches become pieces, and what is between them: with a pattern that matches everything this is the same.
  const isPlain =
    type === 'Split' && (behavior === 'Isolated' || behavior === 'Removed' || behavior === undefined);
  if (isPlain && (invert !== true || behavior === 'Removed') && typeof source === 'string')
    return split(inOneSpelling(source));
  return `other ${String(type)}`;
}

/** Possessive quantifiers match what plain ones do in these patterns, and some groups are spelled in two ways. */
function inOneSpelling(pattern: string): string {
  return pattern
    .replaceAll('?+', '?')
    .replaceAll('++', '+')
    .replaceAll('{1,3}+', '{1,3}')
    .replaceAll("'(?i:[sdmt]|ll|ve|re)", contraction)
    .replaceAll(String.raw`\s*[\r\n]|`, String.raw`\s*[\r\n]+|`);
}
