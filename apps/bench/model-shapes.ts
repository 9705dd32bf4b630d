/** Shapes of published models, for random-weight files that cost what the real ones cost. */
import type { GgufValue } from '../../src/checkpoint.ts';

export type RopeScaling =
  | { readonly type: 'linear'; readonly factor: number }
  | {
      readonly type: 'yarn';
      readonly factor: number;
      readonly originalContext: number;
      readonly attentionFactor?: number;
      readonly betaFast?: number;
      readonly betaSlow?: number;
    }
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly originalContext: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
    };

export interface ModelShape {
  /** `general.architecture`. */
  readonly architecture: string;
  readonly layers: number;
  readonly hidden: number;
  readonly feedForward: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  /** Default: hidden / heads. */
  readonly headSize?: number;
  readonly vocabulary: number;
  readonly context: number;
  /** Kind of the tokenizer put into the file: SentencePiece or byte-level BPE. */
  readonly tokenizer: 'spm' | 'bpe';
  /** `tokenizer.ggml.pre`; 'default' if absent. */
  readonly preTokenizer?: string;
  /** The head is the embedding. */
  readonly tied?: boolean;
  readonly queryKeyValueBias?: boolean;
  /** Default 1e-5. */
  readonly normEpsilon?: number;
  /** Default 10,000. */
  readonly ropeBase?: number;
  /** Values of a head that are rotated; default all. */
  readonly ropeSize?: number;
  readonly ropeScaling?: RopeScaling;
  readonly slidingWindow?: number;
  /** Factors of the frequencies for short and for long contexts, and what they lengthen queries and keys by. */
  readonly longRope?: { readonly originalContext: number; readonly attentionFactor: number };
  /** Of rows; `rms` if absent. */
  readonly norm?: 'rms' | 'layer' | 'layer without bias';
  /** A layer's norms by tensor name after `blk.N.`; `attn_norm` and `ffn_norm` if absent. */
  readonly norms?: readonly string[];
  /** Norms of queries and keys: one weight for all heads, one for each, or one over all. */
  readonly headNorm?: 'head' | 'own head' | 'all';
  /** Biases on the other products of a layer. */
  readonly productBias?: boolean;
  readonly headBias?: boolean;
  /** Query, key and value in one matrix; gate and up. */
  readonly fused?: readonly ('query key value' | 'gate up')[];
  /** The feed-forward block has a gate; it has if absent. */
  readonly gated?: boolean;
  /** How much feed-forward blocks add, as a share of the usual; 1 if absent. */
  readonly feedForwardGain?: number;
  readonly learnsPositions?: boolean;
  /** What else the architecture's section of the metadata says. */
  readonly keys?: Readonly<Record<string, GgufValue>>;
  /** Logits of heads that take part in the softmax alone. */
  readonly sinks?: boolean;
  readonly experts?: {
    readonly count: number;
    readonly used: number;
    /** Width of an expert; default: `feedForward`. */
    readonly feedForward?: number;
    /** Width of the block that every row goes through. */
    readonly sharedFeedForward?: number;
    /** That block has a gate of its own. */
    readonly sharedGate?: boolean;
    /** Of the router and of every product. */
    readonly bias?: boolean;
  };
}

const float = (value: number): GgufValue => ({ type: 'float32', value });
const whole = (value: number): GgufValue => ({ type: 'uint32', value });

const llama3 = {
  architecture: 'llama',
  vocabulary: 128_256,
  context: 131_072,
  tokenizer: 'bpe',
  preTokenizer: 'llama-bpe',
  ropeBase: 500_000,
} as const;

const llama3Scaling = (factor: number): RopeScaling => ({
  type: 'llama3',
  factor,
  originalContext: 8192,
  lowFrequencyFactor: 1,
  highFrequencyFactor: 4,
});

const spm32k = { architecture: 'llama', vocabulary: 32_000, tokenizer: 'spm' } as const;

const qwen = {
  vocabulary: 151_936,
  tokenizer: 'bpe',
  preTokenizer: 'qwen2',
  normEpsilon: 1e-6,
  ropeBase: 1_000_000,
} as const;

/** By the name that `--shape` takes. `134m` is nobody's model: the smallest shape that engines are compared with. */
export const modelShapes = {
  '134m': {
    ...spm32k,
    layers: 12,
    hidden: 768,
    feedForward: 2048,
    heads: 12,
    keyValueHeads: 12,
    context: 4096,
  },
  'smollm-135m': {
    architecture: 'llama',
    layers: 30,
    hidden: 576,
    feedForward: 1536,
    heads: 9,
    keyValueHeads: 3,
    vocabulary: 49_152,
    context: 2048,
    tokenizer: 'bpe',
    preTokenizer: 'smollm',
    tied: true,
  },
  'qwen2.5-0.5b': {
    architecture: 'qwen2',
    layers: 24,
    hidden: 896,
    feedForward: 4864,
    heads: 14,
    keyValueHeads: 2,
    vocabulary: 151_936,
    context: 32_768,
    tokenizer: 'bpe',
    preTokenizer: 'qwen2',
    tied: true,
    queryKeyValueBias: true,
    normEpsilon: 1e-6,
    ropeBase: 1_000_000,
  },
  'tinyllama-1.1b': {
    ...spm32k,
    layers: 22,
    hidden: 2048,
    feedForward: 5632,
    heads: 32,
    keyValueHeads: 4,
    context: 2048,
  },
  'llama-3.2-1b': {
    ...llama3,
    layers: 16,
    hidden: 2048,
    feedForward: 8192,
    heads: 32,
    keyValueHeads: 8,
    tied: true,
    ropeScaling: llama3Scaling(32),
  },
  'llama-3.2-3b': {
    ...llama3,
    layers: 28,
    hidden: 3072,
    feedForward: 8192,
    heads: 24,
    keyValueHeads: 8,
    tied: true,
    ropeScaling: llama3Scaling(32),
  },
  'gemma-2b': {
    ...{ architecture: 'gemma', layers: 18, hidden: 2048, feedForward: 16_384, heads: 8, keyValueHeads: 1 },
    ...{ headSize: 256, vocabulary: 256_000, context: 8192, tokenizer: 'spm', tied: true, normEpsilon: 1e-6 },
  },
  'gemma-2-2b': {
    ...{ architecture: 'gemma2', layers: 26, hidden: 2304, feedForward: 9216, heads: 8, keyValueHeads: 4 },
    ...{ headSize: 256, vocabulary: 256_000, context: 8192, tokenizer: 'spm', tied: true, normEpsilon: 1e-6 },
    norms: ['attn_norm', 'post_attention_norm', 'ffn_norm', 'post_ffw_norm'],
    slidingWindow: 4096,
    keys: { attn_logit_softcapping: float(50), final_logit_softcapping: float(30) },
  },
  'gemma-3-1b': {
    ...{ architecture: 'gemma3', layers: 26, hidden: 1152, feedForward: 6912, heads: 4, keyValueHeads: 1 },
    ...{ headSize: 256, vocabulary: 262_144, context: 32_768, tokenizer: 'spm', tied: true },
    ...{ normEpsilon: 1e-6, ropeBase: 1_000_000, slidingWindow: 512, headNorm: 'head' },
    norms: ['attn_norm', 'post_attention_norm', 'ffn_norm', 'post_ffw_norm'],
  },
  'qwen3-0.6b': {
    ...{ architecture: 'qwen3', layers: 28, hidden: 1024, feedForward: 3072, heads: 16, keyValueHeads: 8 },
    ...{ headSize: 128, vocabulary: 151_936, context: 40_960, tokenizer: 'bpe', preTokenizer: 'qwen2' },
    ...{ tied: true, normEpsilon: 1e-6, ropeBase: 1_000_000, headNorm: 'head' },
  },
  'qwen1.5-4b': {
    ...{ architecture: 'qwen2', layers: 40, hidden: 2560, feedForward: 6912, heads: 20, keyValueHeads: 20 },
    ...{ vocabulary: 151_936, context: 32_768, tokenizer: 'bpe', preTokenizer: 'qwen2' },
    ...{ queryKeyValueBias: true, normEpsilon: 1e-6, ropeBase: 5_000_000 },
  },
  'qwen1.5-14b': {
    ...{ architecture: 'qwen2', layers: 40, hidden: 5120, feedForward: 13_696, heads: 40, keyValueHeads: 40 },
    ...{ vocabulary: 152_064, context: 32_768, tokenizer: 'bpe', preTokenizer: 'qwen2' },
    ...{ queryKeyValueBias: true, normEpsilon: 1e-6, ropeBase: 1_000_000 },
  },
  'phi-2': {
    ...{ architecture: 'phi2', layers: 32, hidden: 2560, feedForward: 10_240, heads: 32, keyValueHeads: 32 },
    ...{ vocabulary: 51_200, context: 2048, tokenizer: 'bpe', preTokenizer: 'gpt-2', ropeSize: 32 },
    ...{ norm: 'layer', norms: ['attn_norm'], gated: false, headBias: true },
    ...{ queryKeyValueBias: true, productBias: true, fused: ['query key value'] },
  },
  'phi-3-mini-4k': {
    ...{ architecture: 'phi3', layers: 32, hidden: 3072, feedForward: 8192, heads: 32, keyValueHeads: 32 },
    ...{ vocabulary: 32_064, context: 4096, tokenizer: 'spm', fused: ['query key value', 'gate up'] },
  },
  'chatglm2-6b': {
    ...{
      architecture: 'chatglm',
      layers: 28,
      hidden: 4096,
      feedForward: 13_696,
      heads: 32,
      keyValueHeads: 2,
    },
    ...{ vocabulary: 65_024, context: 32_768, tokenizer: 'spm', ropeSize: 64 },
    ...{ queryKeyValueBias: true, fused: ['query key value', 'gate up'] },
  },
  'gpt-2': {
    ...{ architecture: 'gpt2', layers: 12, hidden: 768, feedForward: 3072, heads: 12, keyValueHeads: 12 },
    ...{ vocabulary: 50_257, context: 1024, tokenizer: 'bpe', preTokenizer: 'gpt-2', learnsPositions: true },
    ...{
      norm: 'layer',
      gated: false,
      queryKeyValueBias: true,
      productBias: true,
      fused: ['query key value'],
    },
  },
  'smollm3-3b': {
    ...{
      architecture: 'smollm3',
      layers: 36,
      hidden: 2048,
      feedForward: 11_008,
      heads: 16,
      keyValueHeads: 4,
    },
    ...{ vocabulary: 128_256, context: 65_536, tokenizer: 'bpe', preTokenizer: 'smaug-bpe' },
    ...{ tied: true, normEpsilon: 1e-6, ropeBase: 5_000_000 },
  },
  'olmo-2-1b': {
    ...{ architecture: 'olmo2', layers: 16, hidden: 2048, feedForward: 8192, heads: 16, keyValueHeads: 16 },
    ...{ vocabulary: 100_352, context: 4096, tokenizer: 'bpe', preTokenizer: 'dbrx', normEpsilon: 1e-6 },
    ...{ ropeBase: 500_000, headNorm: 'all', norms: ['post_attention_norm', 'post_ffw_norm'] },
  },
  'granite-3.1-2b': {
    ...{ architecture: 'granite', layers: 40, hidden: 2048, feedForward: 8192, heads: 32, keyValueHeads: 8 },
    ...{ vocabulary: 49_155, context: 131_072, tokenizer: 'bpe', preTokenizer: 'refact', tied: true },
    ropeBase: 5_000_000,
    keys: {
      ...{ 'attention.scale': float(1 / 64), residual_scale: float(0.22) },
      ...{ embedding_scale: float(12), logit_scale: float(8) },
    },
  },
  'command-r7b': {
    ...{
      architecture: 'cohere2',
      layers: 32,
      hidden: 4096,
      feedForward: 14_336,
      heads: 32,
      keyValueHeads: 8,
    },
    ...{ vocabulary: 256_000, context: 8192, tokenizer: 'bpe', preTokenizer: 'command-r', tied: true },
    ...{ norm: 'layer without bias', norms: ['attn_norm'], ropeBase: 50_000, slidingWindow: 4096 },
    keys: { logit_scale: float(0.25), 'attention.sliding_window_pattern': whole(4) },
  },
  'llama-2-7b': {
    ...spm32k,
    layers: 32,
    hidden: 4096,
    feedForward: 11_008,
    heads: 32,
    keyValueHeads: 32,
    context: 4096,
  },
  'llama-3.1-8b': {
    ...llama3,
    layers: 32,
    hidden: 4096,
    feedForward: 14_336,
    heads: 32,
    keyValueHeads: 8,
    ropeScaling: llama3Scaling(8),
  },
  'mixtral-8x7b': {
    ...{ ...spm32k, layers: 32, hidden: 4096, feedForward: 14_336, heads: 32, keyValueHeads: 8 },
    ...{ context: 32_768, ropeBase: 1_000_000, experts: { count: 8, used: 2 } },
  },
  'qwen1.5-moe-a2.7b': {
    ...{ ...qwen, architecture: 'qwen2moe', layers: 24, hidden: 2048, feedForward: 5632 },
    ...{ heads: 16, keyValueHeads: 16, context: 8192, queryKeyValueBias: true },
    experts: { count: 60, used: 4, feedForward: 1408, sharedFeedForward: 5632, sharedGate: true },
  },
  'qwen3-30b-a3b': {
    ...{ ...qwen, architecture: 'qwen3moe', layers: 48, hidden: 2048, feedForward: 6144 },
    ...{ heads: 32, keyValueHeads: 4, headSize: 128, context: 40_960, headNorm: 'head' },
    experts: { count: 128, used: 8, feedForward: 768 },
  },
  'granite-3.1-3b-a800m': {
    ...{
      architecture: 'granitemoe',
      layers: 32,
      hidden: 1536,
      feedForward: 512,
      heads: 24,
      keyValueHeads: 8,
    },
    ...{ vocabulary: 49_155, context: 131_072, tokenizer: 'bpe', preTokenizer: 'refact', tied: true },
    ropeBase: 10_000_000,
    keys: {
      ...{ embedding_scale: float(12), residual_scale: float(0.22) },
      ...{ 'attention.scale': float(0.015625), logit_scale: float(6) },
    },
    experts: { count: 40, used: 8 },
  },
  'gpt-oss-20b': {
    ...{ architecture: 'gpt-oss', layers: 24, hidden: 2880, feedForward: 2880, heads: 64, keyValueHeads: 8 },
    ...{ headSize: 64, vocabulary: 201_088, context: 131_072, tokenizer: 'bpe', preTokenizer: 'gpt-4o' },
    ...{ norms: ['attn_norm', 'post_attention_norm'], queryKeyValueBias: true, productBias: true },
    ...{ sinks: true, slidingWindow: 128, ropeBase: 150_000 },
    ropeScaling: { type: 'yarn', factor: 32, originalContext: 4096 },
    experts: { count: 32, used: 4, feedForward: 2880, bias: true },
  },
} as const satisfies Record<string, ModelShape>;

export type ModelShapeName = keyof typeof modelShapes;
