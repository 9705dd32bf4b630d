/** Phi 1, 1.5 and 2: attention and feed-forward read one norm; part of each head is rotated. */
import { decoderArchitecture } from './part/decoder.ts';
import { gptLike } from './part/family.ts';

export const phi2 = decoderArchitecture({
  ...gptLike,
  names: ['phi2'],
  block: () => ({ parts: 'parallel', beforeAttention: 'attn_norm' }),
});
