/** Self-attention of one layer: project, rotate, write the cache, attend, project back. */
import type { Operation, Value } from '../../graph.ts';
import type { DecoderConfiguration } from './configuration.ts';
import type { BiasRule, ModelBuilder } from './model-builder.ts';
import type { Rotary } from './rotary.ts';

export interface AttentionBlock {
  readonly rotary: Rotary;
  readonly pairing: Extract<Operation, { op: 'rope' }>['pairing'];
  readonly queryKeyValueBias: BiasRule;
  /** Rows seen at most; undefined sees all. */
  readonly window: number | undefined;
}

/** `[T, D]` normalized rows in, `[T, D]` to be added to the residual stream out. */
export function attentionBlock(
  builder: ModelBuilder,
  input: Value,
  layer: number,
  { hiddenSize, headCount, keyValueHeadCount, keySize, valueSize }: DecoderConfiguration,
  { rotary, pairing, queryKeyValueBias, window }: AttentionBlock,
): Value {
  const prefix = `blk.${layer}`;
  const project = (block: string, size: number) =>
    builder.linear(input, `${prefix}.${block}`, [size, hiddenSize], queryKeyValueBias);
  const rotate = (value: Value, heads: number) =>
    builder.apply(
      { op: 'rope', headCount: heads, headSize: keySize, pairing, ...rotary },
      [value],
      `${value.name}.rope`,
    );
  const query = project('attn_q', headCount * keySize);
  const key = project('attn_k', keyValueHeadCount * keySize);
  const value = project('attn_v', keyValueHeadCount * valueSize);
  const rotatedQuery = rotate(query, headCount);
  const heads = { layer, keyValueHeadCount, keySize, valueSize };
  const cache = builder.apply(
    { op: 'cache-write', ...heads },
    [rotate(key, keyValueHeadCount), value],
    `${prefix}.cache`,
  );
  const attended = builder.apply(
    {
      op: 'attention',
      ...heads,
      headCount,
      scale: 1 / Math.sqrt(keySize),
      ...(window === undefined ? {} : { window }),
    },
    [rotatedQuery, cache],
    `${prefix}.attention`,
  );
  return builder.linear(attended, `${prefix}.attn_output`, [hiddenSize, headCount * valueSize]);
}
