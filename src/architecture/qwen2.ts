/** Qwen 1.5, 2 and 2.5 without experts: a llama whose query, key and value have biases. */
import { decoderArchitecture } from './part/decoder.ts';
import { llamaLike } from './part/family.ts';

export const qwen2 = decoderArchitecture({
  ...llamaLike,
  names: ['qwen2'],
  queryKeyValueBias: 'required',
  // The published configurations name a window and switch it off; files may carry the number alone.
  window: () => undefined,
});
