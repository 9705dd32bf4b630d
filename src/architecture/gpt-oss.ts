/** gpt-oss: experts with biases and a clamped gate, sinks, every other layer local. */
import { decoderArchitecture } from './part/decoder.ts';
import { usualExperts } from './part/expert-feed-forward.ts';
import { llamaLike, normsBefore } from './part/family.ts';
import { localWindow } from './part/sliding-window.ts';

export const gptOss = decoderArchitecture({
  ...llamaLike,
  names: ['gpt-oss'],
  block: () => ({ ...normsBefore, beforeFeedForward: 'post_attention_norm' }),
  window: localWindow(2),
  sinks: true,
  experts: {
    ...usualExperts,
    gating: 'softmax-of-chosen',
    normalize: false,
    gate: { activation: 'swiglu-clamped', alpha: 1.702, limit: 7 },
  },
});
