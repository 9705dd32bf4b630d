/** StarCoder 2: layer norms, no gate, grouped queries. */
import { decoderArchitecture } from './part/decoder.ts';
import { gptLike } from './part/family.ts';

export const starcoder2 = decoderArchitecture({ ...gptLike, names: ['starcoder2'] });
