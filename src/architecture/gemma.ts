/** Gemma 1: large heads, scaled embeddings, a gate of `gelu`. Files hold the weights of norms with the 1 added that it adds. */
import { decoderArchitecture } from './part/decoder.ts';
import { llamaLike } from './part/family.ts';

export const gemma = decoderArchitecture({
  ...llamaLike,
  names: ['gemma'],
  activation: 'gelu-tanh',
  multipliers: ({ configuration }) => ({ embedding: Math.sqrt(configuration.hiddenSize) }),
});
