/** Whole small models: everything a backend may fuse, in the order an architecture would build it. */
import { formatByName } from '../../src/format.ts';
import type { Activation, Gating, Graph, GraphBuilder, Value } from '../../src/graph.ts';
import { normal, type OpCase } from './op-case.ts';
import { acceptPath, type CaseStep, chain, stepOf, tree } from './timeline.ts';

export interface LayerShape {
  /** Format of the matrices. */
  readonly format: string;
  readonly hidden: number;
  readonly inner: number;
  readonly keyValueHeadCount: number;
  readonly group: number;
  readonly headSize: number;
  readonly vocabulary: number;
  readonly layers: number;
  readonly pairing: 'adjacent' | 'split';
  readonly bias: boolean;
  readonly window?: number;
  /** Default: a gated block, silu. */
  readonly feedForward?: { readonly gate: Gating } | { readonly activation: Activation };
  /** Layer norms with biases instead of root mean squares. */
  readonly layerNorm?: boolean;
  /** Attention and feed-forward read one norm, and both are added. */
  readonly parallel?: boolean;
  /** Queries and keys are normalized head by head. */
  readonly headNorm?: boolean;
  /** Experts of the feed-forward blocks, and how many a row uses. */
  readonly experts?: readonly [count: number, used: number];
}

export const smallShape: LayerShape = {
  format: 'f32',
  hidden: 64,
  inner: 172,
  keyValueHeadCount: 2,
  group: 2,
  headSize: 16,
  vocabulary: 70,
  layers: 2,
  pairing: 'adjacent',
  bias: false,
};

/** Embedding, layers of attention and gated feed-forward with residuals, norm, tied head. */
export function buildLayers(builder: GraphBuilder, shape: LayerShape): Graph {
  const format = formatByName(shape.format);
  const table = builder.weight('token_embd', format, [shape.vocabulary, shape.hidden]);
  let stream = builder.apply({ op: 'embed' }, [table], 'embedded');
  for (let layer = 0; layer < shape.layers; layer++) stream = buildLayer(builder, shape, layer, stream);
  builder.enterLayer(undefined);
  return builder.finish(stream, (selected) =>
    builder.apply(
      { op: 'matmul' },
      [normed(builder, 'output_norm', selected, shape.hidden, shape.layerNorm), table],
      'logits',
    ),
  );
}

function normed(builder: GraphBuilder, name: string, input: Value, width: number, layerNorm = false): Value {
  const weight = builder.weight(name, formatByName('f32'), [width]);
  if (!layerNorm) return builder.apply({ op: 'rms-norm', epsilon: 1e-5 }, [input, weight], `${name}.out`);
  const bias = builder.weight(`${name}.bias`, formatByName('f32'), [width]);
  return builder.apply({ op: 'layer-norm', epsilon: 1e-5 }, [input, weight, bias], `${name}.out`);
}

function buildLayer(builder: GraphBuilder, shape: LayerShape, layer: number, stream: Value): Value {
  const { hidden, inner, keyValueHeadCount, group, headSize, pairing, window } = shape;
  const headCount = keyValueHeadCount * group;
  const name = (part: string) => `blk.${layer}.${part}`;
  const project = (input: Value, part: string, rows: number, columns: number, bias = false) => {
    const weight = builder.weight(name(part), formatByName(shape.format), [rows, columns]);
    const inputs = bias
      ? [input, weight, builder.weight(name(`${part}.bias`), formatByName('f32'), [rows])]
      : [input, weight];
    return builder.apply({ op: 'matmul' }, inputs, name(`${part}.out`));
  };
  const frequencies = Array.from({ length: headSize / 2 }, (_, pair) => 10_000 ** ((-2 * pair) / headSize));
  const turn = (input: Value, heads: number, part: string) =>
    builder.apply(
      { op: 'rope', headCount: heads, headSize, pairing, frequencies, magnitude: 1 },
      [input],
      name(part),
    );

  builder.enterLayer(layer);
  const attentionInput = normed(builder, name('attn_norm'), stream, hidden, shape.layerNorm);
  const query = project(attentionInput, 'attn_q', headCount * headSize, hidden, shape.bias);
  const key = project(attentionInput, 'attn_k', keyValueHeadCount * headSize, hidden, shape.bias);
  const value = project(attentionInput, 'attn_v', keyValueHeadCount * headSize, hidden, shape.bias);
  const sizes = { layer, keyValueHeadCount, keySize: headSize, valueSize: headSize };
  const byHead = (input: Value, heads: number, part: string) => {
    if (!shape.headNorm) return input;
    const weight = builder.weight(name(part), formatByName('f32'), [headSize]);
    return builder.apply(
      { op: 'rms-norm', epsilon: 1e-5, groups: heads },
      [input, weight],
      name(`${part}.out`),
    );
  };
  const turnedQuery = turn(byHead(query, headCount, 'q_norm'), headCount, 'q.turned');
  const turnedKey = turn(byHead(key, keyValueHeadCount, 'k_norm'), keyValueHeadCount, 'k.turned');
  const state = builder.apply({ op: 'cache-write', ...sizes }, [turnedKey, value], name('cache'));
  const attended = builder.apply(
    {
      op: 'attention',
      ...sizes,
      headCount,
      scale: 1 / Math.sqrt(headSize),
      ...(window === undefined ? {} : { window }),
    },
    [turnedQuery, state],
    name('attended'),
  );
  const mixed = project(attended, 'attn_output', hidden, headCount * headSize);
  const middle = builder.apply({ op: 'add' }, [stream, mixed], name('middle'));
  const forwardInput = shape.parallel
    ? attentionInput
    : normed(builder, name('ffn_norm'), middle, hidden, shape.layerNorm);
  if (shape.experts) {
    const summed = experts(builder, shape, name, forwardInput);
    return builder.apply({ op: 'add' }, [middle, summed], name('out'));
  }
  const { feedForward = { gate: { activation: 'silu' } } } = shape;
  const up = project(forwardInput, 'ffn_up', inner, hidden, shape.bias);
  const activated =
    'gate' in feedForward
      ? builder.apply(
          { op: 'gated', ...feedForward.gate },
          [project(forwardInput, 'ffn_gate', inner, hidden, shape.bias), up],
          name('gated'),
        )
      : builder.apply({ op: 'activate', ...feedForward }, [up], name('activated'));
  return builder.apply({ op: 'add' }, [middle, project(activated, 'ffn_down', hidden, inner)], name('out'));
}

/** The token chooses, so that what is rounded before does not. */
function experts(
  builder: GraphBuilder,
  { format, hidden, inner, vocabulary, experts: [expertCount, usedCount] = [1, 1] }: LayerShape,
  name: (part: string) => string,
  input: Value,
): Value {
  const choices = builder.weight(name('choices'), formatByName('f32'), [vocabulary, expertCount]);
  const logits = builder.apply({ op: 'embed' }, [choices], name('expert_logits'));
  const choice = { gating: 'softmax', normalize: true, scale: 1 } as const;
  const routes = builder.apply({ op: 'route', expertCount, usedCount, ...choice }, [logits], name('routes'));
  const project = (x: Value, part: string, rows: number, columns: number) => {
    const weight = builder.weight(name(part), formatByName(format), [expertCount, rows, columns]);
    const operation = { op: 'expert-matmul', expertCount, usedCount } as const;
    return builder.apply(operation, [x, weight, routes], name(`${part}.out`));
  };
  const both = [project(input, 'ffn_gate', inner, hidden), project(input, 'ffn_up', inner, hidden)];
  const gated = builder.apply({ op: 'gated', activation: 'silu' }, both, name('gated'));
  const down = project(gated, 'ffn_down', hidden, inner);
  return builder.apply({ op: 'expert-sum', usedCount }, [down, routes], name('summed'));
}

/** Matrices small enough that the stream neither dies nor explodes. */
export function layerFills(shape: LayerShape): NonNullable<OpCase['fills']> {
  const fills: Record<string, ReturnType<typeof normal>> = { token_embd: normal(0.5) };
  for (let layer = 0; layer < shape.layers; layer++) {
    for (const part of ['attn_q', 'attn_k', 'attn_v', 'attn_output', 'ffn_gate', 'ffn_up', 'ffn_down']) {
      fills[`blk.${layer}.${part}`] = normal(1 / Math.sqrt(shape.hidden));
    }
    // Different within a row: 5 divides no number of experts used here.
    fills[`blk.${layer}.choices`] = (_, index, width) => {
      const [row, expert] = [Math.floor(index / width), index % width];
      return ((expert * 5 + row * 3 + layer) % width) / 2;
    };
  }
  return fills;
}

const branches = [-1, 0, 0, 1, -1];
const token = (row: number) => (row * 7 + 3) % 70;

/** A prompt, one token, a tree of which a path is accepted, one token. */
const steps: readonly CaseStep[] = [
  { rows: chain(0, 19, { token }), committed: [0], selected: [18] },
  stepOf(chain(19, 1, { token }), 19),
  { ...stepOf(tree(20, branches, { token }), 20), moves: acceptPath(20, [0, 2]) },
  stepOf(chain(22, 1, { token }), 22),
  { rows: chain(23, 2, { token }), committed: [23], selected: [] },
];

const shapes: readonly Partial<LayerShape>[] = [
  {},
  { pairing: 'split', bias: true },
  { format: 'f16', keyValueHeadCount: 1, group: 4, window: 5 },
  { format: 'q8_0', inner: 160, pairing: 'split', bias: true },
  { format: 'q4_0', inner: 96, keyValueHeadCount: 4, group: 1 },
  { format: 'q4_k', hidden: 256, inner: 512, headSize: 64, layers: 1 },
  { feedForward: { activation: 'gelu-tanh' }, layerNorm: true, parallel: true, bias: true },
  { format: 'q8_0', inner: 96, feedForward: { activation: 'relu-squared' }, layerNorm: true, headNorm: true },
  { format: 'q4_0', inner: 96, feedForward: { activation: 'gelu' }, parallel: true },
  { format: 'q8_0', inner: 96, feedForward: { gate: { activation: 'gelu-tanh' } }, headNorm: true },
  {
    inner: 90,
    feedForward: { gate: { activation: 'swiglu-clamped', alpha: 1.702, limit: 7 } },
    bias: true,
  },
  { format: 'q6_k', hidden: 256, inner: 256, headSize: 64, layers: 1, pairing: 'split' },
  { inner: 40, experts: [7, 3] },
  { format: 'mxfp4', inner: 96, experts: [6, 2] },
];

export const layerCases: readonly OpCase[] = shapes.map((changes) => {
  const shape = { ...smallShape, ...changes };
  return {
    name: `layers ${JSON.stringify(changes)}`,
    build: (builder) => buildLayers(builder, shape),
    fills: layerFills(shape),
    steps,
  };
});
