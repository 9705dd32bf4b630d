/** Qwen 1.5 to 3, with and without experts. */
import { asVector, shareOfRows, stacked } from '../changes.ts';
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

const tensors = { ...ends, ...normsBefore, ...attention(), ...gatedFeedForward };

const headNorms: TransformersFamily['tensors'] = {
  'layers.#.self_attn.q_norm': to('blk.#.attn_q_norm'),
  'layers.#.self_attn.k_norm': to('blk.#.attn_k_norm'),
};

/** One matrix each, or those of all experts in one tensor. */
const experts: TransformersFamily['tensors'] = {
  'layers.#.mlp.gate': to('blk.#.ffn_gate_inp'),
  'layers.#.mlp.experts.*.gate_proj': to('blk.#.ffn_gate_exps', stacked),
  'layers.#.mlp.experts.*.up_proj': to('blk.#.ffn_up_exps', stacked),
  'layers.#.mlp.experts.*.down_proj': to('blk.#.ffn_down_exps', stacked),
  'layers.#.mlp.experts.gate_up_proj': [
    to('blk.#.ffn_gate_exps.weight', shareOfRows(0, 2)),
    to('blk.#.ffn_up_exps.weight', shareOfRows(1, 2)),
  ],
  'layers.#.mlp.experts.down_proj': to('blk.#.ffn_down_exps.weight'),
};

const expertSizes = [
  ...expertKeys,
  keyRules.count('expert_feed_forward_length', 'moe_intermediate_size'),
  keyRules.count('expert_shared_feed_forward_length', 'shared_expert_intermediate_size'),
];

export const qwen2 = decoderFamily({ classes: ['Qwen2ForCausalLM'], architecture: 'qwen2', tensors });

export const qwen3 = decoderFamily({
  classes: ['Qwen3ForCausalLM'],
  architecture: 'qwen3',
  tensors: { ...tensors, ...headNorms },
});

export const qwen2moe = decoderFamily({
  classes: ['Qwen2MoeForCausalLM'],
  architecture: 'qwen2moe',
  keys: expertSizes,
  tensors: {
    ...tensors,
    ...experts,
    'layers.#.mlp.shared_expert_gate': to('blk.#.ffn_gate_inp_shexp', asVector),
    'layers.#.mlp.shared_expert.gate_proj': to('blk.#.ffn_gate_shexp'),
    'layers.#.mlp.shared_expert.up_proj': to('blk.#.ffn_up_shexp'),
    'layers.#.mlp.shared_expert.down_proj': to('blk.#.ffn_down_shexp'),
  },
  check(config) {
    if (config.boolean('norm_topk_prob') === true) {
      config.refuse(
        'norm_topk_prob',
        'is true; the weights of the chosen experts are taken as they are here',
      );
    }
  },
});

export const qwen3moe = decoderFamily({
  classes: ['Qwen3MoeForCausalLM'],
  architecture: 'qwen3moe',
  keys: expertSizes,
  tensors: { ...tensors, ...headNorms, ...experts },
  check(config) {
    if (config.boolean('norm_topk_prob') === false) {
      config.refuse(
        'norm_topk_prob',
        'is false; the weights of the chosen experts are made to add up to 1 here',
      );
    }
  },
});
