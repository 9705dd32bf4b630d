/** gpt-oss: experts in MXFP4, or in plain numbers with columns for rows; gate and up take turns row by row. */
import type { StoredTensor } from '../../safetensors-header.ts';
import { only } from '../changes.ts';
import { attention, decoderFamily, ends, expertKeys, keyRules, to } from '../decoder-rules.ts';
import type { Change } from '../family.ts';
import { mxfp4Rows } from '../mxfp4-rows.ts';
import { everyOther, joined, type Rows, reshaped, sliced, transposed } from '../rows.ts';
import type { TileShelf } from '../tile-shelf.ts';

/** Of [experts, inputs, outputs] what each expert computes its outputs with. */
function matricesOf(sources: readonly StoredTensor[], shelf: TileShelf): readonly Rows[] {
  const rows = only(sources);
  const [experts = 0, inputs = 0, outputs = 0] = rows.shape;
  return Array.from({ length: experts }, (_, expert) => {
    return transposed(reshaped(sliced(rows, expert * inputs, inputs), [inputs, outputs]), shelf);
  });
}

const stackOf = (matrices: readonly Rows[]): Rows =>
  joined(matrices, [matrices.length, ...(matrices[0]?.shape ?? [])]);

const turned: Change = (sources, { shelf }) => stackOf(matricesOf(sources, shelf));

/** Every second output from `first` on. */
const turnedHalf =
  (first: number): Change =>
  (sources, { shelf }) => {
    const halves = matricesOf(sources, shelf).map((matrix) => {
      const [outputs = 0, inputs = 0] = matrix.shape;
      return everyOther(matrix, first, 2, [outputs / 2, inputs], shelf);
    });
    return stackOf(halves);
  };

const biasHalf =
  (first: number): Change =>
  (sources, { shelf }) => {
    const rows = only(sources);
    const [experts = 0, outputs = 0] = rows.shape;
    const values = reshaped(rows, [experts * outputs]);
    return reshaped(everyOther(values, first, 2, [(experts * outputs) / 2], shelf), [experts, outputs / 2]);
  };

const blocks = (to: string, place: number, first = 0, step = 1) => ({
  to: `blk.#.${to}.weight`,
  place,
  change: ((sources, { shelf }) => mxfp4Rows(sources, first, step, shelf)) satisfies Change,
});

const expert = 'layers.#.mlp.experts';

export const gptOss = decoderFamily({
  classes: ['GptOssForCausalLM'],
  architecture: 'gpt-oss',
  keys: [
    ...expertKeys,
    keyRules.count('expert_feed_forward_length', 'intermediate_size'),
    keyRules.count('attention.sliding_window', 'sliding_window'),
  ],
  quantizations: ['mxfp4'],
  tensors: {
    ...ends,
    ...attention(),
    'layers.#.input_layernorm': to('blk.#.attn_norm'),
    'layers.#.post_attention_layernorm': to('blk.#.post_attention_norm'),
    'layers.#.self_attn.sinks': to('blk.#.attn_sinks.weight'),
    'layers.#.mlp.router': to('blk.#.ffn_gate_inp'),
    [`${expert}.gate_up_proj_blocks`]: [blocks('ffn_gate_exps', 0, 0, 2), blocks('ffn_up_exps', 0, 1, 2)],
    [`${expert}.gate_up_proj_scales`]: [blocks('ffn_gate_exps', 1, 0, 2), blocks('ffn_up_exps', 1, 1, 2)],
    [`${expert}.down_proj_blocks`]: blocks('ffn_down_exps', 0),
    [`${expert}.down_proj_scales`]: blocks('ffn_down_exps', 1),
    [`${expert}.gate_up_proj`]: [
      to('blk.#.ffn_gate_exps.weight', turnedHalf(0)),
      to('blk.#.ffn_up_exps.weight', turnedHalf(1)),
    ],
    [`${expert}.down_proj`]: to('blk.#.ffn_down_exps.weight', turned),
    [`${expert}.gate_up_proj_bias`]: [
      to('blk.#.ffn_gate_exps.bias', biasHalf(0)),
      to('blk.#.ffn_up_exps.bias', biasHalf(1)),
    ],
    [`${expert}.down_proj_bias`]: to('blk.#.ffn_down_exps.bias'),
  },
});
