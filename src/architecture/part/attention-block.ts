/** Self-attention of one layer: project, normalize heads, rotate, write the cache, attend, project back. */
import type { Value } from '../../graph.ts';
import type { DecoderConfiguration } from './configuration.ts';
import type { DecoderFamily, HeadNorm } from './family.ts';
import type { ModelBuilder, RowRange } from './model-builder.ts';
import type { Rotary } from './rotary.ts';

export interface AttentionBlock {
  readonly family: Pick<DecoderFamily, 'pairing' | 'queryKeyValueBias' | 'bias' | 'headNorm' | 'sinks'>;
  /** Undefined leaves queries and keys as they are. */
  readonly rotary: Rotary | undefined;
  /** Rows seen at most; undefined sees all. */
  readonly window: number | undefined;
  readonly scale: number;
  readonly softCap: number | undefined;
}

/** `[T, D]` rows in, `[T, D]` to be added to the residual stream out. */
export function attentionBlock(
  builder: ModelBuilder,
  input: Value,
  layer: number,
  configuration: DecoderConfiguration,
  { family, rotary, window, scale, softCap }: AttentionBlock,
): Value {
  const { hiddenSize, headCount, keyValueHeadCount, keySize, valueSize, normEpsilon } = configuration;
  const prefix = `blk.${layer}`;
  const prepare = (value: Value, name: string, heads: number) => {
    const { headNorm, pairing } = family;
    const normed = headNorm
      ? normalizeHeads(builder, value, `${prefix}.${name}_norm`, { ...headNorm, heads, keySize, normEpsilon })
      : value;
    if (!rotary) return normed;
    const operation = { op: 'rope', headCount: heads, headSize: keySize, pairing, ...rotary } as const;
    return builder.apply(operation, [normed], `${prefix}.${name}.rope`);
  };
  const [query, key, value] = projectHeads(builder, input, prefix, configuration, family.queryKeyValueBias);
  const preparedQuery = prepare(query, 'attn_q', headCount);
  const heads = { layer, keyValueHeadCount, keySize, valueSize };
  const cache = builder.apply(
    { op: 'cache-write', ...heads },
    [prepare(key, 'attn_k', keyValueHeadCount), value],
    `${prefix}.cache`,
  );
  const sinks = family.sinks ? [builder.weight(`${prefix}.attn_sinks.weight`, [headCount])] : [];
  const attended = builder.apply(
    {
      ...{ op: 'attention', ...heads, headCount, scale },
      ...(window === undefined ? {} : { window }),
      ...(softCap === undefined ? {} : { softCap }),
    },
    [preparedQuery, cache, ...sinks],
    `${prefix}.attention`,
  );
  return builder.linear(attended, `${prefix}.attn_output`, [hiddenSize, headCount * valueSize], family.bias);
}

/** Query, key and value, from matrices of their own or from one that holds all three in this order. */
function projectHeads(
  builder: ModelBuilder,
  input: Value,
  prefix: string,
  { hiddenSize, headCount, keyValueHeadCount, keySize, valueSize }: DecoderConfiguration,
  biasRule: DecoderFamily['queryKeyValueBias'],
): [query: Value, key: Value, value: Value] {
  const [queries, keys, values] = [
    headCount * keySize,
    keyValueHeadCount * keySize,
    keyValueHeadCount * valueSize,
  ];
  const fused = `${prefix}.attn_qkv`;
  const isFused = builder.has(`${fused}.weight`);
  const project = (block: string, rows: RowRange) =>
    isFused
      ? builder.linear(input, fused, [queries + keys + values, hiddenSize], biasRule, rows)
      : builder.linear(input, `${prefix}.${block}`, [rows.count, hiddenSize], biasRule);
  return [
    project('attn_q', { first: 0, count: queries }),
    project('attn_k', { first: queries, count: keys }),
    project('attn_v', { first: queries + keys, count: values }),
  ];
}

interface HeadsToNormalize extends HeadNorm {
  readonly heads: number;
  readonly keySize: number;
  readonly normEpsilon: number;
}

function normalizeHeads(
  builder: ModelBuilder,
  input: Value,
  block: string,
  { op, over, presence, heads, keySize, normEpsilon: epsilon }: HeadsToNormalize,
): Value {
  const tensor = `${block}.weight`;
  if (presence === 'optional' && !builder.has(tensor)) return input;
  const weight =
    over === 'head'
      ? builder.weight(tensor, [keySize])
      : over === 'all'
        ? builder.weight(tensor, [heads * keySize])
        : builder.flatWeight(tensor, [heads, keySize]);
  const groups = over === 'all' ? {} : { groups: heads };
  return builder.apply({ op, epsilon, ...groups }, [input, weight], block);
}
