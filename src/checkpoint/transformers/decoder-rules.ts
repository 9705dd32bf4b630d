/** Rules that most families share: what a decoder's configuration and tensors are called. */
import type { Change, KeyRule, TensorRule, TransformersFamily } from './family.ts';
import { ropeKeys } from './rope.ts';
import { keyValueHeadsOf, names } from './sizes.ts';

const count = (key: string, from: KeyRule['from']): KeyRule => ({ key, type: 'uint32', from });
const float = (key: string, from: KeyRule['from']): KeyRule => ({ key, type: 'float32', from });

export const keyRules = {
  count,
  float,
  flag: (key: string, from: KeyRule['from']): KeyRule => ({ key, type: 'bool', from }),
  text: (key: string, from: KeyRule['from']): KeyRule => ({ key, type: 'string', from }),
};

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

/** The tensor that a name stands for; `change` is what it is made by. */
export const to = (target: string, change?: Change): TensorRule =>
  change ? { to: target, change } : { to: target };

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

/** What most families have in common, and what a family says itself; its keys come last. */
export function decoderFamily(
  own: Pick<TransformersFamily, 'classes' | 'architecture' | 'tensors'> & Partial<TransformersFamily>,
): TransformersFamily {
  return {
    prefixes: ['model.language_model.', 'language_model.model.', 'language_model.', 'model.'],
    unused: unusedFrequencies,
    activations: ['silu', 'swish'],
    ...own,
    keys: [...decoderKeys, ...ropeKeys, ...(own.keys ?? [])],
  };
}
