/** Gemma 3, text: as Gemma 2 with norms of heads for caps; five layers in six have a window and frequencies of their own. */
import { scoresOfGemma } from './gemma2.ts';
import { decoderArchitecture } from './part/decoder.ts';
import { llamaLike, normsAround } from './part/family.ts';
import { isLocal, localWindow } from './part/sliding-window.ts';

const period = 6;
const layersOfLargest = 62;

export const gemma3 = decoderArchitecture({
  ...llamaLike,
  names: ['gemma3'],
  block: () => normsAround,
  headNorm: { op: 'rms-norm', over: 'head', presence: 'required' },
  activation: 'gelu-tanh',
  // Files without a window are of models that see everything in every layer.
  rotation: (configuration, layer) =>
    configuration.slidingWindow !== undefined && isLocal(configuration, layer, period) ? 'local' : 'scaled',
  localBase: 10_000,
  window: localWindow(period),
  multipliers: ({ configuration }) => ({
    embedding: Math.sqrt(configuration.hiddenSize),
    scores: scoresOfGemma(configuration, layersOfLargest),
  }),
  softCaps: ({ reader, configuration }) => ({
    logits: configuration.slidingWindow === undefined ? reader.factor('final_logit_softcapping') : undefined,
  }),
});
