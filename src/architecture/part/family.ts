/** What a family of decoders states of itself, as data; `decoder.ts` builds the graph that follows from it. */
import type { Activation, Operation } from '../../graph.ts';
import type { ConfigurationReader, DecoderConfiguration } from './configuration.ts';
import type { ExpertFamily } from './expert-feed-forward.ts';
import type { BiasRule } from './model-builder.ts';

/** What a family may look at where files of it differ. */
export interface FileTraits {
  readonly reader: ConfigurationReader;
  readonly configuration: DecoderConfiguration;
  has(tensor: string): boolean;
}

/** Norm of whole rows. */
export interface RowNorm {
  readonly op: 'rms-norm' | 'layer-norm';
  /** It has a bias. */
  readonly bias: boolean;
}

/** Norm of queries and keys, `attn_q_norm` and `attn_k_norm`. */
export interface HeadNorm {
  readonly op: 'rms-norm' | 'layer-norm';
  /**
   * `head`: each head by itself, with one weight for all heads. `own-head`: with a weight for each head. `all`: all heads
   * of a row as one.
   */
  readonly over: 'head' | 'own-head' | 'all';
  readonly presence: 'required' | 'optional';
}

/**
 * A layer's two parts with their norms, by tensor name after `blk.N.`; what is undefined is not there. `parallel` parts
 * read the same rows, and the second what the first reads where it has no norm of its own before it.
 */
export interface BlockLayout {
  readonly parts: 'sequential' | 'parallel';
  readonly beforeAttention?: string;
  readonly afterAttention?: string;
  readonly beforeFeedForward?: string;
  readonly afterFeedForward?: string;
}

/** The usual block: each part normalizes what it reads. */
export const normsBefore = {
  parts: 'sequential',
  beforeAttention: 'attn_norm',
  beforeFeedForward: 'ffn_norm',
} as const satisfies BlockLayout;

/** Norms on both sides of each part. */
export const normsAround = {
  ...normsBefore,
  afterAttention: 'post_attention_norm',
  afterFeedForward: 'post_ffw_norm',
} as const satisfies BlockLayout;

/** Multipliers; undefined where there is none. */
export interface Multipliers {
  readonly embedding?: number | undefined;
  /** Of what a part adds to the residual stream. */
  readonly residual?: number | undefined;
  readonly logits?: number | undefined;
  /** Of scores; 1 / sqrt(size of a key) unless said. */
  readonly scores?: number | undefined;
}

/** Limits of a soft cap; undefined where there is none. */
export interface SoftCaps {
  readonly scores?: number | undefined;
  readonly logits?: number | undefined;
}

export interface DecoderFamily {
  /** Values of `general.architecture` it answers to. */
  readonly names: readonly string[];
  readonly norm: RowNorm;
  block(traits: FileTraits): BlockLayout;
  readonly headNorm: HeadNorm | undefined;
  readonly queryKeyValueBias: BiasRule;
  /** Of the other products of a layer. */
  readonly bias: BiasRule;
  readonly pairing: Extract<Operation, { op: 'rope' }>['pairing'];
  /** Rotation of a layer: with the file's scaling, by the frequencies of local layers, or none. */
  rotation(configuration: DecoderConfiguration, layer: number): 'scaled' | 'local' | 'none';
  /** Base of the local frequencies, which nothing scales, where the file states none; that of the others if undefined. */
  readonly localBase: number | undefined;
  /** A row is added for each position, from `position_embd`. */
  readonly learnsPositions: boolean;
  /** Rows that the attention of a layer sees at most; undefined sees all. */
  window(configuration: DecoderConfiguration, layer: number): number | undefined;
  readonly activation: Activation;
  /** The activation is that of a gate. */
  readonly gated: boolean;
  /** How its experts are used where a file has some; undefined refuses such a file. */
  readonly experts: ExpertFamily | undefined;
  /** Heads have a logit each, `attn_sinks`, that takes part in the softmax alone. */
  readonly sinks: boolean;
  multipliers(traits: FileTraits): Multipliers;
  softCaps(traits: FileTraits): SoftCaps;
}

/** What Llama and most families after it have in common. */
export const llamaLike = {
  norm: { op: 'rms-norm', bias: false },
  block: () => normsBefore,
  headNorm: undefined,
  queryKeyValueBias: 'optional',
  bias: 'optional',
  pairing: 'split',
  rotation: () => 'scaled',
  localBase: undefined,
  learnsPositions: false,
  window: () => undefined,
  activation: 'silu',
  gated: true,
  experts: undefined,
  sinks: false,
  multipliers: () => ({}),
  softCaps: () => ({}),
} as const satisfies Omit<DecoderFamily, 'names'>;

/** What GPT-2 and the families after it have in common: layer norms with biases, biases everywhere, no gate. */
export const gptLike = {
  ...llamaLike,
  norm: { op: 'layer-norm', bias: true },
  queryKeyValueBias: 'required',
  bias: 'required',
  activation: 'gelu-tanh',
  gated: false,
} as const satisfies Omit<DecoderFamily, 'names'>;
