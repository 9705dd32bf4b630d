/** Gemma 2: norms around both parts, capped scores and logits, a window in every other layer. */
import type { DecoderConfiguration } from './part/configuration.ts';
import { decoderArchitecture } from './part/decoder.ts';
import { llamaLike, normsAround } from './part/family.ts';
import { localWindow } from './part/sliding-window.ts';

/** The 27B model divides scores by the root of hidden / heads; its files do not say so. */
const layersOfLargest = 46;

export const gemma2 = decoderArchitecture({
  ...llamaLike,
  names: ['gemma2'],
  block: () => normsAround,
  activation: 'gelu-tanh',
  window: localWindow(2, 4096),
  multipliers: ({ configuration }) => ({
    embedding: Math.sqrt(configuration.hiddenSize),
    scores: scoresOfGemma(configuration, layersOfLargest),
  }),
  softCaps: ({ reader }) => ({
    scores: reader.above(0, 'attn_logit_softcapping', 50),
    logits: reader.above(0, 'final_logit_softcapping', 30),
  }),
});

/** 1 / sqrt(size of a key), but for the largest model of a generation, which is known by its number of layers. */
export function scoresOfGemma(
  { layerCount, hiddenSize, headCount, keySize }: DecoderConfiguration,
  layersOfLargest: number,
): number {
  return 1 / Math.sqrt(layerCount === layersOfLargest ? hiddenSize / headCount : keySize);
}
