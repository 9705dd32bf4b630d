/** ChatGLM 2 and 3, GLM-4 in both of its forms, and GLM-4 of 2025. */
import { attention, decoderFamily, ends, keyRules, normsBefore, to } from '../decoder-rules.ts';
import { headSizeOf, rotatedSizeOf } from '../sizes.ts';

const { count, float } = keyRules;

const fusedFeedForward = {
  'layers.#.mlp.gate_up_proj': to('blk.#.ffn_up'),
  'layers.#.mlp.down_proj': to('blk.#.ffn_down'),
};

/** With the names of its own code, from before transformers knew the family. */
export const chatglm = decoderFamily({
  classes: ['ChatGLMModel', 'ChatGLMForConditionalGeneration'],
  architecture: 'chatglm',
  keys: [
    count('context_length', 'seq_length'),
    count('feed_forward_length', 'ffn_hidden_size'),
    count('vocab_size', ['padded_vocab_size', 'vocab_size']),
    float('attention.layer_norm_rms_epsilon', 'layernorm_epsilon'),
    count('rope.dimension_count', (config) =>
      Math.floor((config.number('kv_channels') ?? headSizeOf(config)) / 2),
    ),
    float('rope.freq_base', (config) => 10_000 * (config.number('rope_ratio') ?? 1)),
  ],
  prefixes: ['transformer.'],
  unused: /(?:^|\.)rotary_pos_emb\.inv_freq$/,
  tensors: {
    'embedding.word_embeddings': to('token_embd'),
    'encoder.final_layernorm': to('output_norm'),
    output_layer: to('output'),
    'encoder.layers.#.input_layernorm': to('blk.#.attn_norm'),
    'encoder.layers.#.self_attention.query_key_value': to('blk.#.attn_qkv'),
    'encoder.layers.#.self_attention.dense': to('blk.#.attn_output'),
    'encoder.layers.#.post_attention_layernorm': to('blk.#.ffn_norm'),
    'encoder.layers.#.mlp.dense_h_to_4h': to('blk.#.ffn_up'),
    'encoder.layers.#.mlp.dense_4h_to_h': to('blk.#.ffn_down'),
  },
});

const rotatedHalf = count('rope.dimension_count', (config) => rotatedSizeOf(config, 0.5));

export const glm = decoderFamily({
  classes: ['GlmForCausalLM'],
  architecture: 'chatglm',
  keys: [rotatedHalf],
  tensors: { ...ends, ...normsBefore, ...attention(), ...fusedFeedForward },
});

export const glm4 = decoderFamily({
  classes: ['Glm4ForCausalLM'],
  architecture: 'glm4',
  keys: [rotatedHalf],
  tensors: {
    ...ends,
    ...normsBefore,
    ...attention(),
    ...fusedFeedForward,
    'layers.#.post_self_attn_layernorm': to('blk.#.post_attention_norm'),
    'layers.#.post_mlp_layernorm': to('blk.#.post_ffw_norm'),
  },
});
