/** OLMo 2 and 3: norms after both parts, and over all heads of queries and keys; in OLMo 3 three layers in four have a window. */
import { decoderArchitecture } from './part/decoder.ts';
import { llamaLike } from './part/family.ts';
import { isLocal, localWindow } from './part/sliding-window.ts';

const period = 4;

export const olmo2 = decoderArchitecture({
  ...llamaLike,
  names: ['olmo2'],
  block: () => ({
    parts: 'sequential',
    afterAttention: 'post_attention_norm',
    afterFeedForward: 'post_ffw_norm',
  }),
  headNorm: { op: 'rms-norm', over: 'all', presence: 'required' },
  rotation: (configuration, layer) =>
    configuration.slidingWindow !== undefined && isLocal(configuration, layer, period) ? 'local' : 'scaled',
  window: localWindow(period),
});
