/** Granite 3 without experts: a llama with multipliers. */
import { decoderArchitecture } from './part/decoder.ts';
import { llamaLike } from './part/family.ts';

export const granite = decoderArchitecture({
  ...llamaLike,
  names: ['granite'],
  pairing: 'adjacent',
  // Files say of models without positions that their rope is not fine-tuned.
  rotation: ({ ropeFinetuned }) => (ropeFinetuned ? 'scaled' : 'none'),
  multipliers: ({ reader }) => ({
    embedding: reader.factor('embedding_scale'),
    residual: reader.factor('residual_scale'),
    scores: reader.factor('attention.scale'),
    // The file states a divisor.
    logits: 1 / (reader.factor('logit_scale') ?? 1),
  }),
});
