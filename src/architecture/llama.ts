/** Llama 1 to 3.2 and what has its shape: Mistral, TinyLlama, SmolLM; with experts Mixtral. */
import { decoderArchitecture } from './part/decoder.ts';
import { usualExperts } from './part/expert-feed-forward.ts';
import { llamaLike } from './part/family.ts';

export const llama = decoderArchitecture({
  ...llamaLike,
  names: ['llama'],
  pairing: 'adjacent',
  window: ({ slidingWindow }) => slidingWindow,
  experts: usualExperts,
});
