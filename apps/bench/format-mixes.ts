/** Which tensor gets which number format in the mixes people download. */
import { formatByName, type NumberFormat } from '../../src/format.ts';
import type { ModelShape } from './model-shapes.ts';

/** The format a tensor should have; its name alone decides. */
export type FormatOf = (tensor: string) => NumberFormat;

/** Layers that llama-quantize gives more bits: the first and last eighth, and every third between. */
function wantsMoreBits(layer: number, layers: number): boolean {
  const eighth = Math.floor(layers / 8);
  return layer < eighth || layer >= Math.floor((7 * layers) / 8) || (layer - eighth) % 3 === 2;
}

/** A mix by name (`q4_k_m`), or any format's name for that format throughout. */
export function formatMix(name: string, shape: ModelShape): FormatOf {
  if (name.toLowerCase() !== 'q4_k_m') {
    const format = formatByName(name);
    return () => format;
  }
  const [most, more] = [formatByName('q4_k'), formatByName('q6_k')];
  const head = shape.tied ? 'token_embd.weight' : 'output.weight';
  return (tensor) => {
    const [, layer, block] = /^blk\.(\d+)\.(\w+)/.exec(tensor) ?? [];
    const isDelicate = block === 'attn_v' || block === 'ffn_down';
    return tensor === head || (isDelicate && wantsMoreBits(Number(layer), shape.layers)) ? more : most;
  };
}
