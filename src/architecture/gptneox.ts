/** GPT-NeoX and Pythia: parts in parallel, each with a norm, or one after the other. */
import { decoderArchitecture } from './part/decoder.ts';
import { gptLike, normsBefore } from './part/family.ts';

export const gptneox = decoderArchitecture({
  ...gptLike,
  names: ['gptneox'],
  block: ({ reader }) => ({
    ...normsBefore,
    parts: reader.flag('use_parallel_residual', true) ? 'parallel' : 'sequential',
  }),
});
