/** What descends from GPT-2: itself, GPT-NeoX (Pythia), Falcon, StarCoder 2, StableLM. */

import { regroupedQueryKeyValue, stacked, transposedMatrix } from '../changes.ts';
import type { ModelConfig } from '../config.ts';
import {
  attention,
  decoderFamily,
  ends,
  gatedFeedForward,
  keyRules,
  normsBefore,
  to,
} from '../decoder-rules.ts';
import { keyValueHeadsOf, names, rotatedSizeOf } from '../sizes.ts';

const { count, flag, text } = keyRules;

const fourTimes = count(
  'feed_forward_length',
  (config) =>
    config.number(['n_inner', 'ffn_hidden_size', 'intermediate_size']) ?? 4 * config.count(names.hidden),
);

/** Its weights have the shape [inputs, outputs]. */
export const gpt2 = decoderFamily({
  classes: ['GPT2LMHeadModel'],
  architecture: 'gpt2',
  keys: [fourTimes],
  prefixes: ['transformer.'],
  // Masks that old files have as tensors.
  unused: /\.attn\.(?:masked_)?bias$/,
  activations: ['gelu_new', 'gelu_pytorch_tanh'],
  tensors: {
    wte: to('token_embd'),
    wpe: to('position_embd'),
    ln_f: to('output_norm'),
    lm_head: to('output'),
    'h.#.ln_1': to('blk.#.attn_norm'),
    'h.#.attn.c_attn': to('blk.#.attn_qkv', transposedMatrix),
    'h.#.attn.c_proj': to('blk.#.attn_output', transposedMatrix),
    'h.#.ln_2': to('blk.#.ffn_norm'),
    'h.#.mlp.c_fc': to('blk.#.ffn_up', transposedMatrix),
    'h.#.mlp.c_proj': to('blk.#.ffn_down', transposedMatrix),
  },
});

export const gptneox = decoderFamily({
  classes: ['GPTNeoXForCausalLM'],
  architecture: 'gptneox',
  keys: [
    count('rope.dimension_count', (config) => rotatedSizeOf(config, 0.25)),
    flag('use_parallel_residual', (config) => config.boolean('use_parallel_residual') ?? true),
  ],
  prefixes: ['gpt_neox.'],
  unused: /\.attention\.(?:masked_)?bias$|\.rotary_emb\.inv_freq$/,
  activations: ['gelu', 'gelu_new', 'gelu_fast'],
  tensors: {
    embed_in: to('token_embd'),
    final_layer_norm: to('output_norm'),
    embed_out: to('output'),
    ...normsBefore,
    'layers.#.attention.query_key_value': to(
      'blk.#.attn_qkv',
      regroupedQueryKeyValue((config) => config.count(names.heads)),
    ),
    'layers.#.attention.dense': to('blk.#.attn_output'),
    'layers.#.mlp.dense_h_to_4h': to('blk.#.ffn_up'),
    'layers.#.mlp.dense_4h_to_h': to('blk.#.ffn_down'),
  },
});

/** One key and value for all heads, unless the configuration is of the newer form or says so. */
function falconGroups(config: ModelConfig): number {
  const isNew = config.boolean('new_decoder_architecture') === true;
  return isNew || config.boolean('multi_query') === false ? keyValueHeadsOf(config) : 1;
}

export const falcon = decoderFamily({
  classes: ['FalconForCausalLM', 'RWForCausalLM'],
  architecture: 'falcon',
  keys: [
    fourTimes,
    count('context_length', (config) => config.number('max_position_embeddings') ?? 2048),
    count('attention.head_count_kv', falconGroups),
    text('tensor_data_layout', () => 'jploski'),
  ],
  prefixes: ['transformer.'],
  activations: ['gelu'],
  tensors: {
    word_embeddings: to('token_embd'),
    ln_f: to('output_norm'),
    lm_head: to('output'),
    'h.#.input_layernorm': to('blk.#.attn_norm'),
    'h.#.ln_mlp': to('blk.#.attn_norm'),
    'h.#.ln_attn': to('blk.#.attn_norm_2'),
    'h.#.self_attention.query_key_value': to('blk.#.attn_qkv', regroupedQueryKeyValue(falconGroups)),
    'h.#.self_attention.dense': to('blk.#.attn_output'),
    'h.#.mlp.dense_h_to_4h': to('blk.#.ffn_up'),
    'h.#.mlp.dense_4h_to_h': to('blk.#.ffn_down'),
  },
  check(config) {
    if (config.boolean('alibi'))
      config.refuse('alibi', 'is true; only models with rotary positions can be run');
    if (config.boolean('parallel_attn') === false)
      config.refuse('parallel_attn', 'is false; only parallel layers can be run');
  },
});

export const starcoder2 = decoderFamily({
  classes: ['Starcoder2ForCausalLM'],
  architecture: 'starcoder2',
  tensors: {
    ...ends,
    ...normsBefore,
    ...attention(),
    'layers.#.mlp.c_fc': to('blk.#.ffn_up'),
    'layers.#.mlp.c_proj': to('blk.#.ffn_down'),
  },
  activations: ['gelu_pytorch_tanh'],
});

export const stablelm = decoderFamily({
  classes: ['StableLmForCausalLM', 'StableLMEpochForCausalLM'],
  architecture: 'stablelm',
  keys: [
    count('rope.dimension_count', (config) => rotatedSizeOf(config, 0.25)),
    flag('use_parallel_residual', (config) => config.boolean('use_parallel_residual') ?? false),
  ],
  tensors: {
    ...ends,
    ...normsBefore,
    ...attention(),
    ...gatedFeedForward,
    'layers.#.self_attn.q_layernorm.norms.*': to('blk.#.attn_q_norm', stacked),
    'layers.#.self_attn.k_layernorm.norms.*': to('blk.#.attn_k_norm', stacked),
  },
});
