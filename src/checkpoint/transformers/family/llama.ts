/** Llama and what has its classes: Mistral, Mixtral, TinyLlama, SmolLM. */
import {
  adjacentQueryAndKey,
  attention,
  decoderKeys,
  decoderPrefixes,
  ends,
  expertKeys,
  gatedFeedForward,
  keyRules,
  normsBefore,
  rotatedSizeOf,
  rule,
  stacked,
  unusedFrequencies,
} from '../decoder-rules.ts';
import type { TransformersFamily } from '../family.ts';
import { checkRopeScaling, llama3Factors, ropeKeys } from '../rope.ts';

export const llama: TransformersFamily = {
  classes: ['LlamaForCausalLM', 'LLaMAForCausalLM', 'MistralForCausalLM', 'MixtralForCausalLM'],
  architecture: 'llama',
  keys: [
    ...decoderKeys,
    ...expertKeys,
    ...ropeKeys,
    keyRules.count('rope.dimension_count', (config) => rotatedSizeOf(config)),
    keyRules.count('attention.sliding_window', 'sliding_window'),
  ],
  prefixes: decoderPrefixes,
  tensors: {
    ...ends,
    ...normsBefore,
    ...attention(adjacentQueryAndKey),
    ...gatedFeedForward,
    'layers.#.block_sparse_moe.gate': rule.to('blk.#.ffn_gate_inp'),
    'layers.#.block_sparse_moe.experts.*.w1': rule.to('blk.#.ffn_gate_exps', stacked),
    'layers.#.block_sparse_moe.experts.*.w2': rule.to('blk.#.ffn_down_exps', stacked),
    'layers.#.block_sparse_moe.experts.*.w3': rule.to('blk.#.ffn_up_exps', stacked),
  },
  unused: unusedFrequencies,
  made: (config) => llama3Factors(config, rotatedSizeOf(config)),
  check: checkRopeScaling,
};
