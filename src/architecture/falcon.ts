/** Falcon: parallel parts, no biases in products; the 40B form has a norm for each part, the 7B form one for both. */
import { decoderArchitecture } from './part/decoder.ts';
import { gptLike } from './part/family.ts';

export const falcon = decoderArchitecture({
  ...gptLike,
  names: ['falcon'],
  queryKeyValueBias: 'optional',
  bias: 'optional',
  // Where there are two norms, the second is that of attention.
  block: ({ has }) =>
    has('blk.0.attn_norm_2.weight')
      ? { parts: 'parallel', beforeAttention: 'attn_norm_2', beforeFeedForward: 'attn_norm' }
      : { parts: 'parallel', beforeAttention: 'attn_norm' },
});
