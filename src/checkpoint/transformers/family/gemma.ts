/** Gemma 1 to 3. Its norms are written as their distance from one, and the head is always the embedding. */
import {
  attention,
  decoderFamily,
  ends,
  gatedFeedForward,
  keyRules,
  plusOne,
  rule,
} from '../decoder-rules.ts';
import { ropeField } from '../rope.ts';

const activations = ['gelu_pytorch_tanh', 'gelu'];
const unused = /^(?:lm_head|vision_tower|multi_modal_projector)\.|\.rotary_emb\.inv_freq$/;

const shared = { ...ends, norm: rule.to('output_norm', plusOne), ...attention(), ...gatedFeedForward };

const normsAround = {
  'layers.#.input_layernorm': rule.to('blk.#.attn_norm', plusOne),
  'layers.#.post_attention_layernorm': rule.to('blk.#.post_attention_norm', plusOne),
  'layers.#.pre_feedforward_layernorm': rule.to('blk.#.ffn_norm', plusOne),
  'layers.#.post_feedforward_layernorm': rule.to('blk.#.post_ffw_norm', plusOne),
};

const { count, float } = keyRules;

export const gemma = decoderFamily({
  classes: ['GemmaForCausalLM'],
  architecture: 'gemma',
  tensors: {
    ...shared,
    'layers.#.input_layernorm': rule.to('blk.#.attn_norm', plusOne),
    'layers.#.post_attention_layernorm': rule.to('blk.#.ffn_norm', plusOne),
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
});

/** Files of the models that also see leave out what their class takes for granted. */
export const gemma3 = decoderFamily({
  classes: ['Gemma3ForCausalLM', 'Gemma3ForConditionalGeneration'],
  architecture: 'gemma3',
  keys: [
    count('context_length', (config) => config.number('max_position_embeddings') ?? 131_072),
    count('attention.head_count', (config) => config.number('num_attention_heads') ?? 8),
    count('attention.head_count_kv', (config) => config.number('num_key_value_heads') ?? 4),
    count('attention.key_length', (config) => config.number('head_dim') ?? 256),
    count('attention.value_length', (config) => config.number('head_dim') ?? 256),
    float('attention.layer_norm_rms_epsilon', (config) => config.number('rms_norm_eps') ?? 1e-6),
    float(
      'rope.freq_base',
      (config) => config.number(['rope_theta', ...ropeField('rope_theta')]) ?? 1_000_000,
    ),
    float('rope.freq_base_swa', ['rope_local_base_freq', 'rope_parameters.sliding_attention.rope_theta']),
    float('final_logit_softcapping', 'final_logit_softcapping'),
    count('attention.sliding_window', 'sliding_window'),
  ],
  tensors: {
    ...shared,
    ...normsAround,
    'layers.#.self_attn.q_norm': rule.to('blk.#.attn_q_norm', plusOne),
    'layers.#.self_attn.k_norm': rule.to('blk.#.attn_k_norm', plusOne),
  },
  ...{ activations, unused },
  check(config) {
    const pattern = config.number('sliding_window_pattern') ?? 6;
    if (pattern !== 6)
      config.refuse('sliding_window_pattern', `is ${pattern}; every sixth layer sees everything here`);
  },
});
