/** Granite 3, with and without experts: a Llama with multipliers. */
import { shareOfRows } from '../changes.ts';
import { decoderFamily, expertKeys, keyRules, to } from '../decoder-rules.ts';
import { rotatedSizeOf } from '../sizes.ts';
import { llamaTensors } from './llama.ts';

const { count, float } = keyRules;

const keys = [
  count('rope.dimension_count', (config) => rotatedSizeOf(config)),
  float('attention.scale', 'attention_multiplier'),
  float('embedding_scale', 'embedding_multiplier'),
  float('residual_scale', 'residual_multiplier'),
  float('logit_scale', 'logits_scaling'),
];

export const granite = decoderFamily({
  classes: ['GraniteForCausalLM'],
  architecture: 'granite',
  keys,
  tensors: llamaTensors,
});

export const granitemoe = decoderFamily({
  classes: ['GraniteMoeForCausalLM', 'GraniteMoeSharedForCausalLM'],
  architecture: 'granitemoe',
  keys: [...keys, ...expertKeys, count('expert_shared_feed_forward_length', 'shared_intermediate_size')],
  tensors: {
    ...llamaTensors,
    'layers.#.block_sparse_moe.router.layer': to('blk.#.ffn_gate_inp'),
    'layers.#.block_sparse_moe.input_linear': [
      to('blk.#.ffn_gate_exps', shareOfRows(0, 2)),
      to('blk.#.ffn_up_exps', shareOfRows(1, 2)),
    ],
    'layers.#.block_sparse_moe.output_linear': to('blk.#.ffn_down_exps'),
    'layers.#.shared_mlp.input_linear': [
      to('blk.#.ffn_gate_shexp', shareOfRows(0, 2)),
      to('blk.#.ffn_up_shexp', shareOfRows(1, 2)),
    ],
    'layers.#.shared_mlp.output_linear': to('blk.#.ffn_down_shexp'),
  },
});
