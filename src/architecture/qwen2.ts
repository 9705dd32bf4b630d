/** Qwen 1.5, 2 and 2.5 without experts: a llama whose query, key and value have biases. */
import { decoderArchitecture } from './part/decoder.ts';

export const qwen2 = decoderArchitecture({
  names: ['qwen2'],
  pairing: 'split',
  queryKeyValueBias: 'required',
  activation: 'silu',
  // The published configurations name a window and switch it off; files may carry the number alone.
  window: () => undefined,
});
