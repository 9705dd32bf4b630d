/** OLMo 2 and 3: norms after each block, and over all queries and keys. */
import type { ModelConfig } from '../config.ts';
import { attention, decoderFamily, ends, gatedFeedForward, keyRules, to } from '../decoder-rules.ts';

/** Which layers see a window only: as the configuration lists them, else all but every fourth. */
function windowed(config: ModelConfig): readonly boolean[] | undefined {
  if (config.number('sliding_window') === undefined) return undefined;
  const types = config.value('layer_types');
  const layers = config.count('num_hidden_layers');
  if (!Array.isArray(types)) return Array.from({ length: layers }, (_, layer) => (layer + 1) % 4 !== 0);
  if (types.length !== layers) config.fail('layer_types', `lists ${types.length} layers of ${layers}`);
  return types.map((type) => type === 'sliding_attention');
}

export const olmo2 = decoderFamily({
  classes: ['Olmo2ForCausalLM', 'Olmo3ForCausalLM'],
  architecture: 'olmo2',
  keys: [
    keyRules.count('attention.sliding_window', 'sliding_window'),
    keyRules.flag('attention.sliding_window_pattern', windowed),
  ],
  tensors: {
    ...ends,
    ...attention(),
    ...gatedFeedForward,
    'layers.#.self_attn.q_norm': to('blk.#.attn_q_norm'),
    'layers.#.self_attn.k_norm': to('blk.#.attn_k_norm'),
    'layers.#.post_attention_layernorm': to('blk.#.post_attention_norm'),
    'layers.#.post_feedforward_layernorm': to('blk.#.post_ffw_norm'),
  },
});
