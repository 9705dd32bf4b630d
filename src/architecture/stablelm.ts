/** StableLM 1 and 2: layer norms; the 12B model has parallel parts and norms of heads. */
import { decoderArchitecture } from './part/decoder.ts';
import { llamaLike, normsBefore } from './part/family.ts';

export const stablelm = decoderArchitecture({
  ...llamaLike,
  names: ['stablelm'],
  norm: { op: 'layer-norm', bias: true },
  block: ({ has }) =>
    has('blk.0.ffn_norm.weight') ? normsBefore : { parts: 'parallel', beforeAttention: 'attn_norm' },
  headNorm: { op: 'layer-norm', over: 'own-head', presence: 'optional' },
});
