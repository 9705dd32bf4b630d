/** Granite 3: a llama with multipliers; with experts a block beside them where the file has one. */
import { decoderArchitecture } from './part/decoder.ts';
import { usualExperts } from './part/expert-feed-forward.ts';
import { llamaLike } from './part/family.ts';

export const granite = decoderArchitecture({
  ...llamaLike,
  names: ['granite', 'granitemoe'],
  pairing: 'adjacent',
  // Files say of models without positions that their rope is not fine-tuned.
  rotation: ({ ropeFinetuned }) => (ropeFinetuned ? 'scaled' : 'none'),
  experts: { ...usualExperts, shared: 'plain' },
  multipliers: ({ reader }) => ({
    embedding: reader.factor('embedding_scale'),
    residual: reader.factor('residual_scale'),
    scores: reader.factor('attention.scale'),
    // The file states a divisor.
    logits: 1 / (reader.factor('logit_scale') ?? 1),
  }),
});
