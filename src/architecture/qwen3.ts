/** Qwen 3 without experts: queries and keys are normalized head by head. */
import { decoderArchitecture } from './part/decoder.ts';
import { llamaLike } from './part/family.ts';

export const qwen3 = decoderArchitecture({
  ...llamaLike,
  names: ['qwen3'],
  headNorm: { op: 'rms-norm', over: 'head', presence: 'required' },
});
