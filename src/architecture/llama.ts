/** Llama 1 to 3.2 and what has its shape: Mistral, TinyLlama, SmolLM. */
import { decoderArchitecture } from './part/decoder.ts';

export const llama = decoderArchitecture({
  names: ['llama'],
  pairing: 'adjacent',
  queryKeyValueBias: 'optional',
  activation: 'silu',
  window: ({ slidingWindow }) => slidingWindow,
});
