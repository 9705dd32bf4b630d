/** Phi 1.5, 2 and 3, and those that have the classes of Phi 3: Phi 3.5, Phi 4. */
import { attention, decoderFamily, ends, keyRules, to } from '../decoder-rules.ts';
import { longRopeFactors, longRopeMagnitude, originalContextOf } from '../rope.ts';
import { names, rotatedSizeOf } from '../sizes.ts';

const { count, float } = keyRules;

export const phi2 = decoderFamily({
  classes: ['PhiForCausalLM'],
  architecture: 'phi2',
  keys: [
    count(
      'feed_forward_length',
      (config) => config.number(['intermediate_size', 'n_inner']) ?? 4 * config.count(names.hidden),
    ),
    count('rope.dimension_count', (config) => rotatedSizeOf(config, 0.5)),
  ],
  tensors: {
    ...ends,
    ...attention(),
    final_layernorm: to('output_norm'),
    'layers.#.input_layernorm': to('blk.#.attn_norm'),
    'layers.#.self_attn.dense': to('blk.#.attn_output'),
    'layers.#.mlp.fc1': to('blk.#.ffn_up'),
    'layers.#.mlp.fc2': to('blk.#.ffn_down'),
  },
  activations: ['gelu_new', 'gelu_pytorch_tanh'],
  check(config) {
    if (config.boolean('qk_layernorm'))
      config.refuse('qk_layernorm', 'is true; norms of queries and keys are not known here');
  },
});

export const phi3 = decoderFamily({
  classes: ['Phi3ForCausalLM'],
  architecture: 'phi3',
  keys: [
    count('rope.dimension_count', (config) => rotatedSizeOf(config)),
    count('rope.scaling.original_context_length', (config) => originalContextOf(config)),
    float('rope.scaling.attn_factor', longRopeMagnitude),
    // Phi 4 has none, which 0 says.
    count('attention.sliding_window', (config) => config.number('sliding_window') ?? 0),
  ],
  tensors: {
    ...ends,
    'layers.#.input_layernorm': to('blk.#.attn_norm'),
    'layers.#.self_attn.qkv_proj': to('blk.#.attn_qkv'),
    'layers.#.self_attn.o_proj': to('blk.#.attn_output'),
    'layers.#.post_attention_layernorm': to('blk.#.ffn_norm'),
    'layers.#.mlp.gate_up_proj': to('blk.#.ffn_up'),
    'layers.#.mlp.down_proj': to('blk.#.ffn_down'),
  },
  made: (config) => longRopeFactors(config, rotatedSizeOf(config)),
});
