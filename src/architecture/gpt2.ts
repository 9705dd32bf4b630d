/** GPT-2: positions are learned rows, one for each. */
import { decoderArchitecture } from './part/decoder.ts';
import { gptLike } from './part/family.ts';

export const gpt2 = decoderArchitecture({
  ...gptLike,
  names: ['gpt2'],
  rotation: () => 'none',
  learnsPositions: true,
});
