/** Feed-forward block: down(f(up(x))), or with a gate down(f(gate(x)) · up(x)). */
import type { Value } from '../../graph.ts';
import type { DecoderConfiguration } from './configuration.ts';
import type { DecoderFamily } from './family.ts';
import type { ModelBuilder } from './model-builder.ts';

/** `[T, D]` rows in, `[T, D]` to be added to the residual stream out. */
export function feedForward(
  builder: ModelBuilder,
  input: Value,
  layer: number,
  { hiddenSize, feedForwardSize }: DecoderConfiguration,
  { activation, gated, bias }: Pick<DecoderFamily, 'activation' | 'gated' | 'bias'>,
): Value {
  const prefix = `blk.${layer}`;
  const size = feedForwardSize;
  const project = (block: string) => builder.linear(input, `${prefix}.${block}`, [size, hiddenSize], bias);
  /** One matrix of both, the gate first. */
  const half = (first: number) =>
    builder.linear(input, `${prefix}.ffn_up`, [2 * size, hiddenSize], bias, { first, count: size });
  const inner = () => {
    if (!gated)
      return builder.apply({ op: 'activate', activation }, [project('ffn_up')], `${prefix}.ffn_activated`);
    const isFused =
      !builder.has(`${prefix}.ffn_gate.weight`) && builder.rowsOf(`${prefix}.ffn_up.weight`) === 2 * size;
    const [gate, up] = isFused ? [half(0), half(size)] : [project('ffn_gate'), project('ffn_up')];
    return builder.apply({ op: 'gated', activation }, [gate, up], `${prefix}.ffn_gated`);
  };
  return builder.linear(inner(), `${prefix}.ffn_down`, [hiddenSize, size], bias);
}
