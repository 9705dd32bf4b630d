/** GLM-4 0414 and its kin: a ChatGLM with norms around both parts. */
import { decoderArchitecture } from './part/decoder.ts';
import { llamaLike, normsAround } from './part/family.ts';

export const glm4 = decoderArchitecture({
  ...llamaLike,
  names: ['glm4'],
  block: () => normsAround,
  pairing: 'adjacent',
});
