/** Rules that most families share: what a decoder's configuration and tensors are called. */
import { NearfieldError } from '../../base/error.ts';
import { quote } from '../quote.ts';
import type { StoredTensor } from '../safetensors-header.ts';
import type { ModelConfig } from './config.ts';
import type { Change, KeyRule, TensorRule, TransformersFamily } from './family.ts';
import { ropeKeys } from './rope.ts';
import { asFloats, joined, type Rows, reordered, reshaped, rowsOf, sliced, transposed } from './rows.ts';
import { keyValueHeadsOf, names } from './sizes.ts';

const count = (key: string, from: KeyRule['from']): KeyRule => ({ key, type: 'uint32', from });
const float = (key: string, from: KeyRule['from']): KeyRule => ({ key, type: 'float32', from });

export const keyRules = {
  count,
  float,
  flag: (key: string, from: KeyRule['from']): KeyRule => ({ key, type: 'bool', from }),
  text: (key: string, from: KeyRule['from']): KeyRule => ({ key, type: 'string', from }),
};

/** What every family states, where its configuration has it. */
export const decoderKeys: readonly KeyRule[] = [
  count('block_count', ['num_hidden_layers', 'n_layer', 'num_layers', 'n_layers']),
  count('context_length', [
    'max_position_embeddings',
    'n_positions',
    'n_ctx',
    'seq_length',
    'max_sequence_length',
  ]),
  count('embedding_length', names.hidden),
  count('feed_forward_length', ['intermediate_size', 'n_inner', 'ffn_hidden_size']),
  count('attention.head_count', names.heads),
  count('attention.head_count_kv', keyValueHeadsOf),
  count('attention.key_length', 'head_dim'),
  count('attention.value_length', 'head_dim'),
  count('vocab_size', ['vocab_size', 'padded_vocab_size']),
  float('attention.layer_norm_rms_epsilon', ['rms_norm_eps', 'norm_eps']),
  float('attention.layer_norm_epsilon', ['layer_norm_eps', 'layer_norm_epsilon', 'norm_epsilon']),
];

export const expertKeys: readonly KeyRule[] = [
  count('expert_count', ['num_local_experts', 'num_experts']),
  count('expert_used_count', ['num_experts_per_tok', 'num_experts_per_token']),
];

const to = (target: string, change?: Change): TensorRule =>
  change ? { to: target, change } : { to: target };

export const rule = { to };

/** Frequencies that old files repeat in every layer. */
export const unusedFrequencies = /\.rotary_emb\.inv_freq$/;

export const ends = {
  embed_tokens: to('token_embd'),
  norm: to('output_norm'),
  lm_head: to('output'),
} as const;

/** Attention of one projection each; `rotated` is what queries and keys go through. */
export const attention = (rotated?: {
  readonly query: Change;
  readonly key: Change;
}): TransformersFamily['tensors'] => ({
  'layers.#.self_attn.q_proj': to('blk.#.attn_q', rotated?.query),
  'layers.#.self_attn.k_proj': to('blk.#.attn_k', rotated?.key),
  'layers.#.self_attn.v_proj': to('blk.#.attn_v'),
  'layers.#.self_attn.o_proj': to('blk.#.attn_output'),
});

export const gatedFeedForward = {
  'layers.#.mlp.gate_proj': to('blk.#.ffn_gate'),
  'layers.#.mlp.up_proj': to('blk.#.ffn_up'),
  'layers.#.mlp.down_proj': to('blk.#.ffn_down'),
} as const;

export const normsBefore = {
  'layers.#.input_layernorm': to('blk.#.attn_norm'),
  'layers.#.post_attention_layernorm': to('blk.#.ffn_norm'),
} as const;

/** What most families have in common, and what a family says itself; its keys come last. */
export function decoderFamily(
  own: Pick<TransformersFamily, 'classes' | 'architecture' | 'tensors'> & Partial<TransformersFamily>,
): TransformersFamily {
  return {
    prefixes: ['model.language_model.', 'language_model.model.', 'language_model.', 'model.'],
    unused: unusedFrequencies,
    activations: ['silu', 'swish'],
    ...own,
    keys: [...decoderKeys, ...ropeKeys, ...(own.keys ?? [])],
  };
}

/** The rows of the only source. */
export function only(sources: readonly StoredTensor[]): Rows {
  const [first, other] = sources;
  if (!first) throw new NearfieldError('internal', 'A change of a tensor was given none');
  if (other)
    throw new NearfieldError(
      'bad-file',
      `${quote(first.name)} and ${quote(other.name)} stand for one tensor`,
    );
  return rowsOf(first);
}

/**
 * From rotation of the two halves of a head to rotation of neighbours: rows i and i + size / 2 of each head become rows
 * 2 i and 2 i + 1.
 */
export const adjacentPairs =
  (headsOf: (config: ModelConfig) => number): Change =>
  (sources, { config, shelf }) => {
    const rows = only(sources);
    const half = (rows.shape[0] ?? 0) / headsOf(config) / 2;
    if (!Number.isInteger(half) || half < 1) {
      config.fail(names.heads, `does not divide the ${rows.shape[0]} rows of ${quote(rows.name)} in pairs`);
    }
    const order = Array.from({ length: 2 * half }, (_, row) => (row % 2) * half + Math.floor(row / 2));
    return reordered(rows, order, shelf);
  };

export const adjacentQueryAndKey = {
  query: adjacentPairs((config) => config.count(names.heads)),
  key: adjacentPairs(keyValueHeadsOf),
};

/** Norms that are written as their distance from one. */
export const plusOne: Change = (sources, { shelf }) => asFloats(only(sources), 1, shelf);

/** A matrix of one row. */
export const asVector: Change = (sources) => {
  const rows = only(sources);
  return reshaped(rows, rows.shape.slice(-1));
};

/** Matrices of the experts, or norms of the heads, one after the other as one tensor of a dimension more. */
export const stacked: Change = (sources) => {
  const all = sources.map(rowsOf);
  return joined(all, [all.length, ...(all[0]?.shape ?? [])]);
};

/** One of the equal parts that the rows of a matrix, or of each of several, are cut in. */
export const shareOfRows =
  (index: number, of: number): Change =>
  (sources) => {
    const rows = only(sources);
    const [columns = 0, allRows = 0, ...outer] = rows.shape.toReversed();
    const matrices = outer.reduce((product, size) => product * size, 1);
    const count = Math.floor(allRows / of);
    const shares = Array.from({ length: matrices }, (_, matrix) =>
      sliced(rows, matrix * allRows + index * count, count),
    );
    return joined(shares, [...outer.reverse(), count, columns]);
  };

/** Weights of the shape [inputs, outputs]; vectors stay. */
export const transposedMatrix: Change = (sources, { shelf }) => {
  const rows = only(sources);
  return rows.shape.length === 1 ? rows : transposed(rows, shelf);
};

/**
 * Queries, keys and values of every group of heads together, as all queries, all keys, all values. A group has so many of
 * each that share a key and a value.
 */
export const regroupedQueryKeyValue =
  (groupsOf: (config: ModelConfig) => number): Change =>
  (sources, { config }) => {
    const rows = only(sources);
    const groups = groupsOf(config);
    const inGroup = config.count(names.heads) / groups;
    const headRows = (rows.shape[0] ?? 0) / groups / (inGroup + 2);
    if (!Number.isInteger(headRows) || !Number.isInteger(inGroup)) {
      config.fail(
        names.heads,
        `and ${groups} groups do not divide the ${rows.shape[0]} rows of ${quote(rows.name)}`,
      );
    }
    const slices = (place: number, count: number) =>
      Array.from({ length: groups }, (_, group) =>
        sliced(rows, (group * (inGroup + 2) + place) * headRows, count * headRows),
      );
    return joined([...slices(0, inGroup), ...slices(inGroup, 1), ...slices(inGroup + 1, 1)], rows.shape);
  };
