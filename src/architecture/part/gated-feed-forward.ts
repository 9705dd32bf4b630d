/** Feed-forward block with a gate: down(f(gate(x)) · up(x)). */
import type { Activation, Value } from '../../graph.ts';
import type { DecoderConfiguration } from './configuration.ts';
import type { ModelBuilder } from './model-builder.ts';

/** `[T, D]` normalized rows in, `[T, D]` to be added to the residual stream out. */
export function gatedFeedForward(
  builder: ModelBuilder,
  input: Value,
  layer: number,
  { hiddenSize, feedForwardSize }: DecoderConfiguration,
  activation: Activation,
): Value {
  const prefix = `blk.${layer}`;
  const gate = builder.linear(input, `${prefix}.ffn_gate`, [feedForwardSize, hiddenSize]);
  const up = builder.linear(input, `${prefix}.ffn_up`, [feedForwardSize, hiddenSize]);
  const gated = builder.apply({ op: 'gated', activation }, [gate, up], `${prefix}.ffn_gated`);
  return builder.linear(gated, `${prefix}.ffn_down`, [hiddenSize, feedForwardSize]);
}
