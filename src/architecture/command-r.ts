/** Command R and R+: parallel parts below one norm without bias, scaled logits; R+ has norms of heads. */
import { decoderArchitecture } from './part/decoder.ts';
import { llamaLike } from './part/family.ts';

export const commandR = decoderArchitecture({
  ...llamaLike,
  names: ['command-r'],
  norm: { op: 'layer-norm', bias: false },
  block: () => ({ parts: 'parallel', beforeAttention: 'attn_norm' }),
  headNorm: { op: 'layer-norm', over: 'own-head', presence: 'optional' },
  pairing: 'adjacent',
  multipliers: ({ reader }) => ({ logits: reader.factor('logit_scale') }),
});
