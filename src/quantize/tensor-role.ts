/** What a tensor is for, as GGUF names tell. */
import type { TensorRole } from './recipes.ts';

/** Matrices that stay as precise as they are: small, or read value by value. */
const kept: readonly RegExp[] = [
  /_norm\.weight$/,
  /ffn_gate_inp(_shexp)?\.weight$/,
  /^(position_embd|token_types)\.weight$/,
  /(altup|laurel|per_layer_model_proj|ssm_conv1d|shortconv\.conv|attn_rel_b)/,
  /time_mix_(first|w[012]|v[012]|a[012]|g[12]|decay_w[12]|lerp_fused)\.weight$/,
  /\.(position_embd|rel_pos|patch_embd|patch_merger)/,
];

/** Whether a tensor is a matrix that may be stored in a format of blocks. */
export function isQuantizable(name: string, shape: readonly number[]): boolean {
  return shape.length >= 2 && name.endsWith('weight') && !kept.some((pattern) => pattern.test(name));
}

/** In this order: `attn_qkv` holds values, too. */
const rolePatterns: readonly (readonly [RegExp, TensorRole])[] = [
  [/attn_(v|qkv|kv_b)\.weight$/, 'attn_v'],
  [/attn_k\.weight$/, 'attn_k'],
  [/attn_q\.weight$/, 'attn_q'],
  [/attn_output\.weight$/, 'attn_output'],
  [/ffn_up/, 'ffn_up'],
  [/ffn_gate/, 'ffn_gate'],
  [/ffn_down/, 'ffn_down'],
];

export function roleOf(name: string, headIsTied: boolean): TensorRole {
  if (name === 'output.weight') return 'head';
  if (name === 'token_embd.weight') return headIsTied ? 'head' : 'embedding';
  if (name === 'per_layer_token_embd.weight') return 'embedding';
  return rolePatterns.find(([pattern]) => pattern.test(name))?.[1] ?? 'other';
}

/** Number of the layer it belongs to; undefined outside the layers. */
export function layerOf(name: string): number | undefined {
  const [, layer] = /^blk\.(\d+)\./.exec(name) ?? [];
  return layer === undefined ? undefined : Number(layer);
}
