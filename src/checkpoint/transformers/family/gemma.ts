/** Gemma 1 to 3. Its norms are written as their distance from one, and the head is always the embedding. */

import { plusOne } from '../changes.ts';
import type { ModelConfig } from '../config.ts';
import { attention, decoderFamily, ends, gatedFeedForward, keyRules, to } from '../decoder-rules.ts';
import { ropeBaseOf } from '../rope.ts';
import { headSizeOf, names } from '../sizes.ts';

const activations = ['gelu_pytorch_tanh', 'gelu'];
const unused = /^(?:lm_head|vision_tower|multi_modal_projector)\.|\.rotary_emb\.inv_freq$/;

const shared = { ...ends, norm: to('output_norm', plusOne), ...attention(), ...gatedFeedForward };

/**
 * Scores are divided by the root of a number that no metadata states: the size of a head, but in the largest model of a
 * generation, known by its layers, the hidden size for each head.
 */
function checkScale(config: ModelConfig, largestLayers: number): void {
  const field = 'query_pre_attn_scalar';
  const stated = config.number(field);
  const isLargest = config.number('num_hidden_layers') === largestLayers;
  const expected = isLargest ? config.count(names.hidden) / config.count(names.heads) : headSizeOf(config);
  if (stated !== undefined && stated !== expected)
    config.refuse(field, `is ${stated}; ${expected} is what it is taken for`);
}

const normsAround = {
  'layers.#.input_layernorm': to('blk.#.attn_norm', plusOne),
  'layers.#.post_attention_layernorm': to('blk.#.post_attention_norm', plusOne),
  'layers.#.pre_feedforward_layernorm': to('blk.#.ffn_norm', plusOne),
  'layers.#.post_feedforward_layernorm': to('blk.#.post_ffw_norm', plusOne),
};

const { count, float } = keyRules;

export const gemma = decoderFamily({
  classes: ['GemmaForCausalLM'],
  architecture: 'gemma',
  tensors: {
    ...shared,
    'layers.#.input_layernorm': to('blk.#.attn_norm', plusOne),
    'layers.#.post_attention_layernorm': to('blk.#.ffn_norm', plusOne),
  },
  ...{ activations, unused },
});

export const gemma2 = decoderFamily({
  classes: ['Gemma2ForCausalLM'],
  architecture: 'gemma2',
  keys: [
    float('attn_logit_softcapping', 'attn_logit_softcapping'),
    float('final_logit_softcapping', 'final_logit_softcapping'),
    count('attention.sliding_window', 'sliding_window'),
  ],
  tensors: { ...shared, ...normsAround },
  ...{ activations, unused },
  check: (config) => checkScale(config, 46),
});

export const gemma3 = decoderFamily({
  classes: ['Gemma3ForCausalLM', 'Gemma3ForConditionalGeneration'],
  architecture: 'gemma3',
  defaults: {
    ...{ max_position_embeddings: 131_072, num_attention_heads: 8, num_key_value_heads: 4, head_dim: 256 },
    ...{ rms_norm_eps: 1e-6, sliding_window_pattern: 6 },
  },
  keys: [
    float('rope.freq_base', (config) => ropeBaseOf(config) ?? 1_000_000),
    float('rope.freq_base_swa', ['rope_local_base_freq', 'rope_parameters.sliding_attention.rope_theta']),
    float('final_logit_softcapping', 'final_logit_softcapping'),
    count('attention.sliding_window', 'sliding_window'),
  ],
  tensors: {
    ...shared,
    ...normsAround,
    'layers.#.self_attn.q_norm': to('blk.#.attn_q_norm', plusOne),
    'layers.#.self_attn.k_norm': to('blk.#.attn_k_norm', plusOne),
  },
  ...{ activations, unused },
  check(config) {
    const pattern = config.number('sliding_window_pattern');
    if (pattern !== 6) {
      config.refuse('sliding_window_pattern', `is ${pattern}; every sixth layer sees everything here`);
    }
    checkScale(config, 62);
  },
});
