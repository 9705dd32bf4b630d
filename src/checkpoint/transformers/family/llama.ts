/** Llama and what has its classes or its shape: Mistral, Mixtral, TinyLlama, SmolLM. */
import { adjacentQueryAndKey, stacked } from '../changes.ts';
import {
  attention,
  decoderFamily,
  ends,
  expertKeys,
  gatedFeedForward,
  keyRules,
  normsBefore,
  to,
} from '../decoder-rules.ts';
import type { TransformersFamily } from '../family.ts';
import { llama3Factors } from '../rope.ts';
import { rotatedSizeOf } from '../sizes.ts';

export const llamaTensors: TransformersFamily['tensors'] = {
  ...ends,
  ...normsBefore,
  ...attention(adjacentQueryAndKey),
  ...gatedFeedForward,
};

const rotatedSize = keyRules.count('rope.dimension_count', (config) => rotatedSizeOf(config));

export const llama = decoderFamily({
  classes: ['LlamaForCausalLM', 'LLaMAForCausalLM', 'MistralForCausalLM', 'MixtralForCausalLM'],
  architecture: 'llama',
  keys: [...expertKeys, rotatedSize, keyRules.count('attention.sliding_window', 'sliding_window')],
  tensors: {
    ...llamaTensors,
    'layers.#.block_sparse_moe.gate': to('blk.#.ffn_gate_inp'),
    'layers.#.block_sparse_moe.experts.*.w1': to('blk.#.ffn_gate_exps', stacked),
    'layers.#.block_sparse_moe.experts.*.w2': to('blk.#.ffn_down_exps', stacked),
    'layers.#.block_sparse_moe.experts.*.w3': to('blk.#.ffn_up_exps', stacked),
  },
  made: (config) => llama3Factors(config, rotatedSizeOf(config)),
});

/** Every fourth layer is not rotated, which the architecture knows. */
export const smollm3 = decoderFamily({
  classes: ['SmolLM3ForCausalLM'],
  architecture: 'smollm3',
  keys: [rotatedSize],
  tensors: llamaTensors,
  made: (config) => llama3Factors(config, rotatedSizeOf(config)),
});
