/** Feed-forward block of experts: a router chooses some for every row, and adds what they give by its weights. */

import type { Gating, Operation, Value } from '../../graph.ts';
import type { ConfigurationReader, DecoderConfiguration } from './configuration.ts';
import type { ModelBuilder } from './model-builder.ts';

type Route = Extract<Operation, { op: 'route' }>;

/** How a family uses its experts. */
export interface ExpertFamily extends Pick<Route, 'gating' | 'normalize'> {
  /** Width of an expert where the file does not state it. */
  width(configuration: DecoderConfiguration, usedCount: number): number;
  readonly gate: Gating;
  /** What every row goes through beside its experts: nothing, a block, or a block times a gate of its own. */
  readonly shared: 'none' | 'plain' | 'gated';
}

/** Mixtral's, and the usual ones: weights are the shares among the chosen. */
export const usualExperts = {
  gating: 'softmax',
  normalize: true,
  width: ({ feedForwardSize }) => feedForwardSize,
  gate: { activation: 'silu' },
  shared: 'none',
} as const satisfies ExpertFamily;

export interface ExpertConfiguration {
  readonly family: ExpertFamily;
  readonly expertCount: number;
  readonly usedCount: number;
  /** Values between the products of an expert. */
  readonly expertSize: number;
  /** Of the block that all rows go through; 0 without one. */
  readonly sharedSize: number;
}

/** Undefined for a model without experts. */
export function readExperts(
  reader: ConfigurationReader,
  configuration: DecoderConfiguration,
  family: ExpertFamily,
): ExpertConfiguration | undefined {
  const expertCount = reader.count('expert_count', { fallback: 0, least: 0, most: 2 ** 16 });
  if (expertCount === 0) return undefined;
  const usedCount = reader.count('expert_used_count', { most: expertCount });
  const width = family.width(configuration, usedCount);
  const expertSize = reader.count('expert_feed_forward_length', { fallback: width });
  const fallback = family.shared === 'gated' ? configuration.feedForwardSize : 0;
  const sharedSize =
    family.shared === 'none' ? 0 : reader.count('expert_shared_feed_forward_length', { fallback, least: 0 });
  return { family, expertCount, usedCount, expertSize, sharedSize };
}

/** `[T, D]` rows in, `[T, D]` to be added to the residual stream out. */
export function expertFeedForward(
  builder: ModelBuilder,
  input: Value,
  layer: number,
  { hiddenSize }: DecoderConfiguration,
  experts: ExpertConfiguration,
): Value {
  const { gating, normalize, shared, gate } = experts.family;
  const { expertCount, usedCount, expertSize, sharedSize } = experts;
  const prefix = `blk.${layer}`;
  const logits = builder.linear(input, `${prefix}.ffn_gate_inp`, [expertCount, hiddenSize]);
  const choice = { expertCount, usedCount, gating, normalize, scale: 1 };
  const routes = builder.apply({ op: 'route', ...choice }, [logits], `${prefix}.routes`);
  const project = (x: Value, block: string, columns: number, inner: number) =>
    builder.expertLinear(x, `${prefix}.${block}`, [expertCount, columns, inner], routes, usedCount);
  const [left, right] = [
    project(input, 'ffn_gate_exps', expertSize, hiddenSize),
    project(input, 'ffn_up_exps', expertSize, hiddenSize),
  ];
  const gated = builder.apply({ op: 'gated', ...gate }, [left, right], `${prefix}.ffn_gated_exps`);
  const down = project(gated, 'ffn_down_exps', hiddenSize, expertSize);
  const summed = builder.apply({ op: 'expert-sum', usedCount }, [down, routes], `${prefix}.ffn_experts`);
  if (sharedSize === 0) return summed;
  const beside = sharedBlock(builder, input, prefix, [hiddenSize, sharedSize], gate);
  const counted = shared === 'gated' ? gatedShare(builder, input, beside, prefix, hiddenSize) : beside;
  return builder.add(summed, counted, `${prefix}.ffn_shared_residual`);
}

function sharedBlock(
  builder: ModelBuilder,
  input: Value,
  prefix: string,
  [hiddenSize, sharedSize]: readonly [number, number],
  gate: Gating,
): Value {
  const left = builder.linear(input, `${prefix}.ffn_gate_shexp`, [sharedSize, hiddenSize]);
  const right = builder.linear(input, `${prefix}.ffn_up_shexp`, [sharedSize, hiddenSize]);
  const gated = builder.apply({ op: 'gated', ...gate }, [left, right], `${prefix}.ffn_gated_shexp`);
  return builder.linear(gated, `${prefix}.ffn_down_shexp`, [hiddenSize, sharedSize]);
}

/** The block times the sigmoid of one logit a row: a choice of one expert out of one. */
function gatedShare(
  builder: ModelBuilder,
  input: Value,
  shared: Value,
  prefix: string,
  hiddenSize: number,
): Value {
  const logit = builder.singleLinear(input, `${prefix}.ffn_gate_inp_shexp`, hiddenSize);
  const one = { expertCount: 1, usedCount: 1, gating: 'sigmoid', normalize: false, scale: 1 } as const;
  const share = builder.apply({ op: 'route', ...one }, [logit], `${prefix}.shared_route`);
  return builder.apply({ op: 'expert-sum', usedCount: 1 }, [shared, share], `${prefix}.ffn_shared`);
}
