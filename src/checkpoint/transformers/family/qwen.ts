/** Qwen 1.5 to 3. */
import {
  attention,
  decoderKeys,
  decoderPrefixes,
  ends,
  gatedFeedForward,
  normsBefore,
  unusedFrequencies,
} from '../decoder-rules.ts';
import type { TransformersFamily } from '../family.ts';
import { checkRopeScaling, ropeKeys } from '../rope.ts';

export const qwen2: TransformersFamily = {
  classes: ['Qwen2ForCausalLM'],
  architecture: 'qwen2',
  keys: [...decoderKeys, ...ropeKeys],
  prefixes: decoderPrefixes,
  tensors: { ...ends, ...normsBefore, ...attention(), ...gatedFeedForward },
  unused: unusedFrequencies,
  check: checkRopeScaling,
};
