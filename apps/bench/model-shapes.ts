/** Shapes of published models, for random-weight files that cost what the real ones cost. */

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
}

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
} as const satisfies Record<string, ModelShape>;

export type ModelShapeName = keyof typeof modelShapes;
