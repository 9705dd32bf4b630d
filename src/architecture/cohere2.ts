/** Command R7B and Command A: as Command R; three layers in four have a window, and only those rotate. */
import { decoderArchitecture } from './part/decoder.ts';
import { llamaLike } from './part/family.ts';
import { isLocal, localWindow } from './part/sliding-window.ts';

const period = 4;

export const cohere2 = decoderArchitecture({
  ...llamaLike,
  names: ['cohere2'],
  norm: { op: 'layer-norm', bias: false },
  block: () => ({ parts: 'parallel', beforeAttention: 'attn_norm' }),
  pairing: 'adjacent',
  rotation: (configuration, layer) => (isLocal(configuration, layer, period) ? 'scaled' : 'none'),
  window: localWindow(period),
  multipliers: ({ reader }) => ({ logits: reader.factor('logit_scale') }),
});
