/**
 * The pre-tokenizers by the names GGUF gives them (`tokenizer.ggml.pre`): a table of data, exempt from the usual length.
 *
 * The patterns are those of the models' own tokenizers. Where llama.cpp runs an approximation (its engine knows only
 * the coarse Unicode categories: tekken, gpt-4o and kin, kimi-k2), the model's own is here. Rewritten for JavaScript:
 * case-insensitive groups are spelled out; possessive quantifiers became plain ones where what follows them starts with
 * a character they cannot match; set differences became lookaheads.
 */
import { asciiDigitTriples, digitTriples, trailingSpace } from './digit-groups.ts';
import type { SplitStep } from './pre-split.ts';

export interface PreTokenizer {
  readonly names: readonly string[];
  readonly steps: readonly SplitStep[];
  /** A word that is a token is that token, whatever the merges make of it. */
  readonly ignoreMerges?: true;
  /** BOS is added unless the metadata says otherwise. */
  readonly addBos?: true;
  /** BPE over characters with U+2581 for spaces and tokens `<0xXX>` for other bytes, not over the byte alphabet. */
  readonly characters?: true;
}

const contraction = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";

const gpt2 = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;

const spaces = String.raw`\s*[\r\n]+|\s+(?!\S)|\s+`;

/** The cl100k family; `digits` is how numbers are cut. */
const cl100k = (digits: string): string =>
  String.raw`${contraction}|[^\r\n\p{L}\p{N}]?\p{L}+|${digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|${spaces}`;

const upper = String.raw`[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`;
const lower = String.raw`[\p{Ll}\p{Lm}\p{Lo}\p{M}]`;

/** The o200k family: words end where lower case turns to upper. `suffix` follows a word, `digits` cuts numbers. */
const o200k = (suffix: string, digits: string): string =>
  String.raw`[^\r\n\p{L}\p{N}]?${upper}*${lower}+${suffix}|[^\r\n\p{L}\p{N}]?${upper}+${lower}*${suffix}|${digits}| ?[^\s\p{L}\p{N}]+[\r\n/]*|${spaces}`;

const deepSeekWords = String.raw`[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_${'`'}{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+`;

const hanOrKana = String.raw`[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+`;

const hanOrHangul = String.raw`[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+`;

/** Letters of scripts with case, as the DeepSeek LLM tokenizer lists them. */
const casedLetters = [
  String.raw`A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af`,
  String.raw`\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5`,
  String.raw`\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba`,
  String.raw`\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45`,
  String.raw`\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe`,
  String.raw`\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc`,
  String.raw`\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139`,
  String.raw`\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3`,
  String.raw`\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06`,
  String.raw`\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\u{10400}-\u{1044f}\u{104b0}-\u{104d3}\u{104d8}-\u{104fb}`,
  String.raw`\u{10c80}-\u{10cb2}\u{10cc0}-\u{10cf2}\u{118a0}-\u{118df}\u{1e900}-\u{1e943}`,
].join('');

const bloom = String.raw` ?[^(\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+`;

const lines = String.raw`[^\n]+|\n+`;

const notHan = String.raw`(?!\p{Script=Han})`;

export const defaultPreTokenizer: PreTokenizer = {
  names: ['default'],
  steps: [String.raw`[\p{P}$+<=>^~|]+`, gpt2, String.raw`\p{N}+`, '[0-9][0-9][0-9]'],
};

export const preTokenizers: readonly PreTokenizer[] = [
  defaultPreTokenizer,
  {
    names: [
      'gpt-2',
      'phi-2',
      'mpt',
      'olmo',
      'jais',
      'trillion',
      'granite-docling',
      'exaone4',
      'jina-es',
      'jina-de',
      'jina-v2-es',
      'jina-v2-de',
      'jina-v1-en',
      'jina-v2-code',
      'roberta-bpe',
      'gigachat',
      'a.x-4.0',
      'mellum',
      'modern-bert',
    ],
    steps: [gpt2],
  },
  {
    names: [
      'starcoder',
      'refact',
      'command-r',
      'smollm',
      'codeshell',
      'exaone',
      'minerva-7b',
      'minerva',
      'mellum2',
    ],
    steps: [String.raw`\p{N}`, gpt2],
  },
  {
    names: ['falcon'],
    steps: [String.raw`[\p{P}$+<=>^~|${'`'}]+`, gpt2, '[0-9][0-9][0-9]'],
  },
  {
    names: [
      'llama-bpe',
      'llama3',
      'llama-v3',
      'falcon3',
      'falcon-h1',
      'pixtral',
      'midm-2.0',
      'lfm2',
      'jina-v5-nano',
    ],
    steps: [cl100k(String.raw`\p{N}{1,3}`)],
    ignoreMerges: true,
    addBos: true,
  },
  { names: ['dbrx', 'smaug-bpe', 'chatglm-bpe', 'glm4'], steps: [cl100k(String.raw`\p{N}{1,3}`)] },
  {
    names: [
      'qwen2',
      'deepseek-r1-qwen',
      'kormo',
      'f2llmv2',
      'megrez',
      'stablelm2',
      'hunyuan',
      'solar-open',
      'grok-2',
    ],
    steps: [cl100k(String.raw`\p{N}`)],
  },
  {
    names: ['qwen35'],
    steps: [
      String.raw`${contraction}|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|${spaces}`,
    ],
  },
  { names: ['minicpm5'], steps: [String.raw`\p{N}{1,3}`, cl100k(String.raw`\p{N}+`)], ignoreMerges: true },
  { names: ['laguna'], steps: [lines, cl100k(String.raw`\p{N}`)] },
  {
    names: ['ufakzeka'],
    steps: [String.raw`[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|${spaces}`],
  },
  {
    names: ['seed-coder'],
    steps: [String.raw`${contraction}|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|${spaces}`],
  },
  {
    names: ['bailingmoe', 'bailingmoe2', 'llada-moe'],
    steps: [
      String.raw`'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+`,
    ],
  },
  {
    names: ['exaone-moe'],
    steps: [
      String.raw`${contraction}|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+`,
    ],
  },
  {
    names: ['jais-2'],
    steps: [
      String.raw`${contraction}|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s`,
    ],
  },
  {
    names: ['deepseek-llm'],
    steps: [
      String.raw`[\r\n]`,
      String.raw`\s?[${casedLetters}]+`,
      String.raw`\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+`,
      trailingSpace,
      hanOrHangul,
      String.raw`\p{N}+`,
    ],
  },
  {
    names: ['deepseek-coder'],
    steps: [String.raw`[\r\n]`, String.raw`\s?\p{L}+`, String.raw`\s?\p{P}+`, hanOrHangul, String.raw`\p{N}`],
  },
  {
    names: ['deepseek-v3', 'hunyuan-dense', 'joyai-llm', 'hy_v4'],
    steps: [String.raw`\p{N}{1,3}`, hanOrKana, String.raw`${deepSeekWords}[\r\n]*|${spaces}`],
  },
  {
    names: ['spark2_5'],
    steps: [
      String.raw`\p{N}{1,3}`,
      hanOrKana,
      String.raw`${deepSeekWords}|[\r\n]|\s+(?!\S)|\s+`,
      String.raw`\p{N}`,
    ],
  },
  {
    names: ['afmoe'],
    steps: [
      digitTriples,
      String.raw`[\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf\u0e40-\u0e7f\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\uac00-\ud7af\u1100-\u11ff]+`,
      String.raw`${deepSeekWords}[\r\n]*|${spaces}`,
    ],
  },
  {
    names: ['youtu'],
    steps: [
      String.raw`[\uac00-\ud7a3\u3131-\u318e]+|[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c\u3001-\u303f\ufe30-\ufe4f]+|[\u3105-\u312f]+|${hanOrKana}`,
      o200k(`${contraction}?`, String.raw`\p{N}`),
    ],
    ignoreMerges: true,
  },
  {
    names: ['gpt-4o', 'llama4', 'kanana2', 'talkie', 'minimax-m2'],
    steps: [o200k(`${contraction}?`, String.raw`\p{N}{1,3}`)],
  },
  {
    names: ['granite-embed-multi-97m'],
    steps: [o200k(`${contraction}?`, String.raw`\p{N}{1,3}`)],
    ignoreMerges: true,
  },
  {
    names: ['tiny_aya', 'cohere2moe'],
    steps: [digitTriples, o200k(`${contraction}?`, String.raw`\p{N}{1,3}`)],
  },
  { names: ['tekken'], steps: [o200k('', String.raw`\p{N}`)], ignoreMerges: true, addBos: true },
  {
    names: ['kimi-k2'],
    steps: [
      String.raw`\p{Script=Han}+|[^\r\n\p{L}\p{N}]?(?:${notHan}${upper})*(?:${notHan}${lower})+${contraction}?|[^\r\n\p{L}\p{N}]?(?:${notHan}${upper})+(?:${notHan}${lower})*${contraction}?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|${spaces}`,
    ],
  },
  { names: ['bloom', 'poro-chat', 'poro', 'gpt3-finnish'], steps: [bloom] },
  { names: ['viking'], steps: [bloom, String.raw`\p{N}`] },
  {
    names: ['chameleon'],
    steps: [
      '<sentinel:[0-9]+>',
      'IMGIMG[A-I]{1,4}Z',
      String.raw`[\t\n]|    |  `,
      String.raw`\p{N}`,
      String.raw`[\p{P}!-/:-@\[-${'`'}\{-~]`,
      gpt2,
    ],
    addBos: true,
  },
  { names: ['superbpe'], steps: [String.raw`\p{N}+`, asciiDigitTriples] },
  {
    names: ['gemma4', 'granite-embed-multi-311m'],
    steps: [lines],
    characters: true,
    addBos: true,
  },
  { names: ['sarvam-moe'], steps: [lines], characters: true },
];
