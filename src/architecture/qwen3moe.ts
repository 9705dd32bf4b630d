/** Qwen 3 with experts. */
import { decoderArchitecture } from './part/decoder.ts';
import { usualExperts } from './part/expert-feed-forward.ts';
import { llamaLike } from './part/family.ts';

export const qwen3moe = decoderArchitecture({
  ...llamaLike,
  names: ['qwen3moe'],
  headNorm: { op: 'rms-norm', over: 'head', presence: 'required' },
  experts: {
    ...usualExperts,
    width: ({ feedForwardSize }, usedCount) => Math.floor(feedForwardSize / usedCount),
  },
});
