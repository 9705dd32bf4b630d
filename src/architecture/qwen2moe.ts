/** Qwen 1.5 and 2 with experts: a block with a gate of its own beside them; weights are shares among all experts. */
import { decoderArchitecture } from './part/decoder.ts';
import { usualExperts } from './part/expert-feed-forward.ts';
import { llamaLike } from './part/family.ts';

export const qwen2moe = decoderArchitecture({
  ...llamaLike,
  names: ['qwen2moe'],
  experts: {
    ...usualExperts,
    normalize: false,
    width: ({ feedForwardSize }, usedCount) => Math.floor(feedForwardSize / usedCount),
    shared: 'gated',
  },
});
