/** Phi 3, 3.5 and 4 without experts: fused matrices, rope factors for short and for long contexts. */
import { decoderArchitecture } from './part/decoder.ts';
import { llamaLike } from './part/family.ts';

export const phi3 = decoderArchitecture({
  ...llamaLike,
  names: ['phi3'],
  // Files name a window that llama.cpp leaves alone, since converters wrote it for models that have none, too.
  window: () => undefined,
});
