/** ChatGLM 2 and 3 and the first GLM-4: fused matrices, half of each head rotated. */
import { decoderArchitecture } from './part/decoder.ts';
import { llamaLike } from './part/family.ts';

export const chatglm = decoderArchitecture({
  ...llamaLike,
  names: ['chatglm'],
  pairing: 'adjacent',
});
