/** Rules that most families share: what a decoder's configuration and tensors are called. */
import type { FieldNames, ModelConfig } from './config.ts';
import type { Change, KeyRule, TensorRule, TransformersFamily } from './family.ts';
import { asFloats, joined, type Rows, reordered } from './rows.ts';

const count = (key: string, from: KeyRule['from']): KeyRule => ({ key, type: 'uint32', from });
const float = (key: string, from: KeyRule['from']): KeyRule => ({ key, type: 'float32', from });

export const keyRules = { count, float };

export const names = {
  heads: ['num_attention_heads', 'n_head'],
  keyValueHeads: ['num_key_value_heads', 'num_kv_heads', 'n_head_kv', 'multi_query_group_num'],
  hidden: ['hidden_size', 'n_embd'],
} as const satisfies Record<string, FieldNames>;

export function headSizeOf(config: ModelConfig): number {
  return config.number('head_dim') ?? config.count(names.hidden) / config.count(names.heads);
}

export const keyValueHeadsOf = (config: ModelConfig): number =>
  config.number(names.keyValueHeads) ?? config.count(names.heads);

/** Values of a head that are rotated. */
export function rotatedSizeOf(config: ModelConfig, fallbackShare = 1): number {
  const share =
    config.number([
      ...['partial_rotary_factor', 'rotary_pct', 'rope_pct'],
      ...['rope_parameters.partial_rotary_factor', 'rope_scaling.partial_rotary_factor'],
    ]) ?? fallbackShare;
  return Math.floor(share * headSizeOf(config));
}

/** What every family states, where its configuration has it. */
export const decoderKeys: readonly KeyRule[] = [
  count('block_count', ['num_hidden_layers', 'n_layer', 'num_layers', 'n_layers']),
  count('context_length', [
    'max_position_embeddings',
    'n_positions',
    'n_ctx',
    'seq_length',
    'max_sequence_length',
  ]),
  count('embedding_length', names.hidden),
  count('feed_forward_length', ['intermediate_size', 'n_inner', 'ffn_hidden_size']),
  count('attention.head_count', names.heads),
  count('attention.head_count_kv', keyValueHeadsOf),
  count('attention.key_length', 'head_dim'),
  count('attention.value_length', 'head_dim'),
  count('vocab_size', ['vocab_size', 'padded_vocab_size']),
  float('attention.layer_norm_rms_epsilon', ['rms_norm_eps', 'norm_eps']),
  float('attention.layer_norm_epsilon', ['layer_norm_eps', 'layer_norm_epsilon', 'norm_epsilon']),
];

export const expertKeys: readonly KeyRule[] = [
  count('expert_count', ['num_local_experts', 'num_experts']),
  count('expert_used_count', ['num_experts_per_tok', 'num_experts_per_token']),
];

const to = (target: string, change?: Change): TensorRule =>
  change ? { to: target, change } : { to: target };

export const rule = { to };

/** Beginnings of names in models of text, and in models that also see. */
export const decoderPrefixes: readonly string[] = [
  'model.language_model.',
  'language_model.model.',
  'language_model.',
  'model.',
];

/** Frequencies that old files repeat in every layer. */
export const unusedFrequencies = /\.rotary_emb\.inv_freq$/;

export const ends = {
  embed_tokens: to('token_embd'),
  norm: to('output_norm'),
  lm_head: to('output'),
} as const;

/** Attention of one projection each; `rotated` is what queries and keys go through. */
export const attention = (rotated?: {
  readonly query: Change;
  readonly key: Change;
}): TransformersFamily['tensors'] => ({
  'layers.#.self_attn.q_proj': to('blk.#.attn_q', rotated?.query),
  'layers.#.self_attn.k_proj': to('blk.#.attn_k', rotated?.key),
  'layers.#.self_attn.v_proj': to('blk.#.attn_v'),
  'layers.#.self_attn.o_proj': to('blk.#.attn_output'),
});

export const gatedFeedForward = {
  'layers.#.mlp.gate_proj': to('blk.#.ffn_gate'),
  'layers.#.mlp.up_proj': to('blk.#.ffn_up'),
  'layers.#.mlp.down_proj': to('blk.#.ffn_down'),
} as const;

export const normsBefore = {
  'layers.#.input_layernorm': to('blk.#.attn_norm'),
  'layers.#.post_attention_layernorm': to('blk.#.ffn_norm'),
} as const;

/** The only source. */
export function only(sources: readonly Rows[]): Rows {
  const [first, ...others] = sources;
  if (!first || others.length > 0) throw new Error('A change of one tensor was given several');
  return first;
}

/**
 * From rotation of the two halves of a head to rotation of neighbours: rows i and i + size / 2 of each head become rows
 * 2 i and 2 i + 1.
 */
export const adjacentPairs =
  (headsOf: (config: ModelConfig) => number): Change =>
  (sources, { config, shelf }) => {
    const rows = only(sources);
    const half = (rows.shape[0] ?? 0) / headsOf(config) / 2;
    if (!Number.isInteger(half) || half < 1)
      config.fail(names.heads, `does not divide the ${rows.shape[0]} rows of ${rows.name} in pairs`);
    const order = Array.from({ length: 2 * half }, (_, row) => (row % 2) * half + Math.floor(row / 2));
    return reordered(rows, order, shelf);
  };

export const adjacentQueryAndKey = {
  query: adjacentPairs((config) => config.count(names.heads)),
  key: adjacentPairs(keyValueHeadsOf),
};

/** Norms that are written as their distance from one. */
export const plusOne: Change = (sources, { shelf }) => asFloats(only(sources), 1, shelf);

/** Matrices of the experts, one after the other, as one of three dimensions. */
export const stacked: Change = (sources) => {
  const [first] = sources;
  return joined(sources, [sources.length, ...(first?.shape ?? [])]);
};
