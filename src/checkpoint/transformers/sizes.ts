/** Sizes that follow from several fields of a configuration. */
import type { FieldNames, ModelConfig } from './config.ts';

/** Fields by what they say, whose names differ between families. */
export const names = {
  heads: ['num_attention_heads', 'n_head'],
  keyValueHeads: ['num_key_value_heads', 'num_kv_heads', 'n_head_kv', 'multi_query_group_num'],
  hidden: ['hidden_size', 'n_embd'],
} as const satisfies Record<string, FieldNames>;

export function headSizeOf(config: ModelConfig): number {
  return config.number('head_dim') ?? config.count(names.hidden) / config.count(names.heads);
}

export const keyValueHeadsOf = (config: ModelConfig): number =>
  config.number(names.keyValueHeads) ?? config.count(names.heads);

/** Values of a head that are rotated. */
export function rotatedSizeOf(config: ModelConfig, fallbackShare = 1): number {
  const share =
    config.number([
      ...['partial_rotary_factor', 'rotary_pct', 'rope_pct'],
      ...['rope_parameters.partial_rotary_factor', 'rope_scaling.partial_rotary_factor'],
    ]) ?? fallbackShare;
  return Math.floor(share * headSizeOf(config));
}
