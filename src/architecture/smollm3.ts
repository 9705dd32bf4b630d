/** SmolLM 3: a llama in which every fourth layer rotates nothing. */
import { decoderArchitecture } from './part/decoder.ts';
import { llamaLike } from './part/family.ts';

export const smollm3 = decoderArchitecture({
  ...llamaLike,
  names: ['smollm3'],
  pairing: 'adjacent',
  rotation: (_, layer) => (layer % 4 === 3 ? 'none' : 'scaled'),
  multipliers: ({ reader }) => ({ scores: reader.factor('attention.scale') }),
});
