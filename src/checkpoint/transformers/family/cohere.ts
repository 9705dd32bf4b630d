/** Command R and Cohere 2: neighbours are rotated in transformers, too. */
import { attention, decoderFamily, ends, gatedFeedForward, keyRules, to } from '../decoder-rules.ts';
import { rotatedSizeOf } from '../sizes.ts';

const { count, float, text } = keyRules;

const tensors = {
  ...ends,
  ...attention(),
  ...gatedFeedForward,
  'layers.#.input_layernorm': to('blk.#.attn_norm'),
};

const unscaled = text('rope.scaling.type', () => 'none');

export const commandR = decoderFamily({
  classes: ['CohereForCausalLM'],
  architecture: 'command-r',
  keys: [
    // The other field tells less than the model was trained for.
    count('context_length', ['model_max_length', 'max_position_embeddings']),
    float('logit_scale', 'logit_scale'),
    unscaled,
  ],
  tensors: {
    ...tensors,
    'layers.#.self_attn.q_norm': to('blk.#.attn_q_norm'),
    'layers.#.self_attn.k_norm': to('blk.#.attn_k_norm'),
  },
});

export const cohere2 = decoderFamily({
  classes: ['Cohere2ForCausalLM'],
  architecture: 'cohere2',
  keys: [
    count('attention.sliding_window', 'sliding_window'),
    count('rope.dimension_count', (config) => rotatedSizeOf(config)),
    float('logit_scale', 'logit_scale'),
    unscaled,
  ],
  tensors,
});
