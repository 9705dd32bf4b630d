/** Writes GGUF files of random weights: any shape, any format, loadable by every engine, the same bytes for a seed. */
import { type ByteSink, fileSink, type GgufTensor, type GgufValue, writeGguf } from '../../src/checkpoint.ts';
import { formatByName, type NumberFormat } from '../../src/format.ts';
import type { FormatOf } from './format-mixes.ts';
import type { ModelShape } from './model-shapes.ts';
import { randomVocabulary } from './random-vocabulary.ts';
import { formatForRow, RandomWeights } from './random-weights.ts';

export interface RandomModelOptions {
  readonly shape: ModelShape;
  /** Of the matrices; Q8_0 or f32 instead where blocks would not fill a row. Vectors are f32. */
  readonly format: NumberFormat | FormatOf;
  /** Default 1. */
  readonly seed?: number;
  readonly gains?: Gains;
  /** Put over the metadata that follows from the shape. */
  readonly metadata?: ReadonlyMap<string, GgufValue>;
}

/** Factors of deviations; 1 by default. */
export interface Gains {
  /** Of what a layer adds to the hidden rows. */
  readonly layer?: (layer: number) => number;
  /** Of attention's part of that: near 0 the next token follows from the last one alone. */
  readonly attention?: number;
  readonly head?: number;
}

/** A path or a sink; the file appears when it is complete. */
export async function writeRandomModel(
  target: string | ByteSink,
  { shape, format, seed = 1, gains = {}, metadata = new Map() }: RandomModelOptions,
  signal?: AbortSignal,
): Promise<void> {
  const sink = typeof target === 'string' ? await fileSink(target) : target;
  const weights = new RandomWeights(seed);
  const formatOf = typeof format === 'function' ? format : () => format;
  const f32 = formatByName('f32');
  const tensors = weightsOf(shape).map(({ name, shape: sizes, mean, deviation }): GgufTensor => {
    const rowValues = sizes.at(-1) ?? 1;
    // Norms of several heads and biases of experts are matrices that files keep as they keep vectors, and routers as they are.
    const isMatrix = sizes.length > 1 && !/(_norm\.weight|\.bias|ffn_gate_inp\.weight)$/.test(name);
    const chosen = isMatrix ? formatForRow([formatOf(name), formatByName('q8_0'), f32], rowValues) : f32;
    const gained = deviation * gainOf(name, gains);
    const data = weights.pieces({ format: chosen, shape: sizes, mean, deviation: gained });
    return { name, format: chosen, shape: sizes, data };
  });
  const content = {
    metadata: new Map([...metadataOf(shape), ...metadata]),
    tensors: [...tensors, ...ropeFactors(shape), ...longRopeFactors(shape)],
  };
  await writeGguf(sink, content, signal);
}

/** Of a matrix that ends in the hidden rows, and of the head. */
function gainOf(name: string, { layer = () => 1, attention = 1, head = 1 }: Gains): number {
  if (name === 'output.weight') return head;
  const [, number, part] = /^blk\.(\d+)\.(attn_output|ffn_down)\.weight$/.exec(name) ?? [];
  return number === undefined ? 1 : layer(Number(number)) * (part === 'attn_output' ? attention : 1);
}

interface RandomWeight {
  readonly name: string;
  readonly shape: readonly number[];
  readonly mean: number;
  readonly deviation: number;
}

/**
 * Every weight of the model. A matrix of rows of K values has deviation 1/sqrt(K), so that activations keep the size the
 * norms give them; the head's is three times that, so that the largest logits stand as far apart as a trained model's.
 */
function weightsOf(shape: ModelShape): RandomWeight[] {
  const { hidden, layers, vocabulary, learnsPositions = false } = shape;
  const headGain = shape.tied ? 3 : Math.sqrt(hidden);
  return [
    matrix('token_embd', vocabulary, hidden, headGain),
    ...(learnsPositions ? [matrix('position_embd', shape.context, hidden, headGain)] : []),
    ...Array.from({ length: layers }, (_, layer) => layerWeights(shape, `blk.${layer}`)).flat(),
    ...rowNorm(shape, 'output_norm'),
    ...(shape.tied ? [] : [matrix('output', vocabulary, hidden, 3)]),
    ...(shape.headBias ? [bias('output', vocabulary)] : []),
  ];
}

function layerWeights(shape: ModelShape, blk: string): RandomWeight[] {
  const { hidden, heads, keyValueHeads, fused = [] } = shape;
  const { norms = ['attn_norm', 'ffn_norm'], feedForwardGain: gain = 1 } = shape;
  const headSize = shape.headSize ?? hidden / heads;
  const product = (name: string, rows: number, columns: number, hasBias?: boolean): RandomWeight[] =>
    biasedMatrix(`${blk}.${name}`, rows, columns, hasBias);
  const [queries, keys] = [heads * headSize, keyValueHeads * headSize];
  const projected = (name: string, rows: number) => product(name, rows, hidden, shape.queryKeyValueBias);
  return [
    ...norms.flatMap((name) => rowNorm(shape, `${blk}.${name}`, name === 'post_ffw_norm' ? gain : 1)),
    ...(fused.includes('query key value')
      ? projected('attn_qkv', queries + 2 * keys)
      : [...projected('attn_q', queries), ...projected('attn_k', keys), ...projected('attn_v', keys)]),
    ...headNorms(shape, blk, headSize),
    ...product('attn_output', hidden, queries, shape.productBias),
    ...(shape.sinks ? [sinks(`${blk}.attn_sinks`, heads)] : []),
    ...(shape.experts ? expertWeights(shape, shape.experts, blk) : feedForwardWeights(shape, blk)),
  ];
}

function feedForwardWeights(shape: ModelShape, blk: string): RandomWeight[] {
  const { hidden, feedForward, fused = [], gated = true, productBias } = shape;
  const { feedForwardGain = 1 } = shape;
  const isFused = fused.includes('gate up');
  return [
    ...(gated && !isFused ? biasedMatrix(`${blk}.ffn_gate`, feedForward, hidden, productBias) : []),
    ...biasedMatrix(`${blk}.ffn_up`, isFused ? 2 * feedForward : feedForward, hidden, productBias),
    ...biasedMatrix(`${blk}.ffn_down`, hidden, feedForward, productBias, feedForwardGain),
  ];
}

function headNorms(
  { headNorm, heads, keyValueHeads }: ModelShape,
  blk: string,
  size: number,
): RandomWeight[] {
  if (!headNorm) return [];
  return (
    [
      ['attn_q_norm', heads],
      ['attn_k_norm', keyValueHeads],
    ] as const
  ).map(([name, count]) =>
    around1(
      `${blk}.${name}.weight`,
      headNorm === 'head' ? [size] : headNorm === 'all' ? [count * size] : [count, size],
    ),
  );
}

function rowNorm({ hidden, norm = 'rms' }: ModelShape, name: string, gain = 1): RandomWeight[] {
  const weight = { ...around1(`${name}.weight`, [hidden]), mean: gain, deviation: 0.1 * gain };
  return norm === 'layer' ? [weight, bias(name, hidden)] : [weight];
}

const matrix = (name: string, rows: number, columns: number, gain = 1): RandomWeight => ({
  name: `${name}.weight`,
  shape: [rows, columns],
  mean: 0,
  deviation: gain / Math.sqrt(columns),
});

const bias = (name: string, size: number): RandomWeight => ({
  name: `${name}.bias`,
  shape: [size],
  mean: 0,
  deviation: 0.3,
});

const biasedMatrix = (
  name: string,
  rows: number,
  columns: number,
  hasBias = false,
  gain = 1,
): RandomWeight[] => [matrix(name, rows, columns, gain), ...(hasBias ? [bias(name, rows)] : [])];

/** As large as a row's largest scores. */
const sinks = (name: string, heads: number): RandomWeight => ({
  ...{ name: `${name}.weight`, shape: [heads], mean: 1, deviation: 1 },
});

const around1 = (name: string, shape: readonly number[]): RandomWeight => ({
  ...{ name, shape, mean: 1, deviation: 0.1 },
});

const gatedBlock = (blk: string, suffix: string, inner: number, hidden: number): RandomWeight[] => [
  matrix(`${blk}.ffn_gate${suffix}`, inner, hidden),
  matrix(`${blk}.ffn_up${suffix}`, inner, hidden),
  matrix(`${blk}.ffn_down${suffix}`, hidden, inner),
];

/** The router's logits stand as far apart as a trained one's, so that rounding seldom changes a choice. */
function expertWeights(
  { hidden, feedForward }: ModelShape,
  experts: NonNullable<ModelShape['experts']>,
  blk: string,
): RandomWeight[] {
  const { count, sharedFeedForward, sharedGate = false } = experts;
  const blocks = gatedBlock(blk, '_exps', experts.feedForward ?? feedForward, hidden);
  const biased = (name: string, shape: number[]): RandomWeight[] =>
    experts.bias ? [{ name: `${name}.bias`, shape, mean: 0, deviation: 0.3 }] : [];
  return [
    matrix(`${blk}.ffn_gate_inp`, count, hidden, 4),
    ...biased(`${blk}.ffn_gate_inp`, [count]),
    ...blocks.flatMap((block) => {
      const [rows = 0] = block.shape;
      const stacked = { ...block, shape: [count, ...block.shape] };
      return [stacked, ...biased(block.name.replace('.weight', ''), [count, rows])];
    }),
    ...(sharedFeedForward ? gatedBlock(blk, '_shexp', sharedFeedForward, hidden) : []),
    ...(sharedGate ? [{ ...matrix(`${blk}.ffn_gate_inp_shexp`, 1, hidden), shape: [hidden] }] : []),
  ];
}

function metadataOf(shape: ModelShape): Map<string, GgufValue> {
  const { architecture, ropeScaling } = shape;
  const headSize = shape.headSize ?? shape.hidden / shape.heads;
  const metadata = new Map<string, GgufValue>([
    ['general.architecture', architecture],
    // llama.cpp expects special tokens of files whose name has `phi3` in it.
    ['general.name', `random ${architecture.replace('phi3', 'phi')}`],
    ['general.quantization_version', { type: 'uint32', value: 2 }],
  ]);
  const set = (type: 'uint32' | 'float32', key: string, value: number | undefined) => {
    if (value !== undefined) metadata.set(`${architecture}.${key}`, { type, value });
  };
  set('uint32', 'block_count', shape.layers);
  set('uint32', 'context_length', shape.context);
  set('uint32', 'embedding_length', shape.hidden);
  set('uint32', 'feed_forward_length', shape.feedForward);
  set('uint32', 'vocab_size', shape.vocabulary);
  set('uint32', 'attention.head_count', shape.heads);
  set('uint32', 'attention.head_count_kv', shape.keyValueHeads);
  set('uint32', 'attention.key_length', headSize);
  set('uint32', 'attention.value_length', headSize);
  set('uint32', 'attention.sliding_window', shape.slidingWindow);
  const epsilonKey = (shape.norm ?? 'rms') === 'rms' ? 'layer_norm_rms_epsilon' : 'layer_norm_epsilon';
  set('float32', `attention.${epsilonKey}`, shape.normEpsilon ?? 1e-5);
  set('uint32', 'expert_count', shape.experts?.count);
  set('uint32', 'expert_used_count', shape.experts?.used);
  set('uint32', 'expert_feed_forward_length', shape.experts?.feedForward);
  set('uint32', 'expert_shared_feed_forward_length', shape.experts?.sharedFeedForward);
  set('uint32', 'rope.dimension_count', shape.ropeSize ?? headSize);
  set('float32', 'rope.freq_base', shape.ropeBase ?? 10_000);
  if (ropeScaling && ropeScaling.type !== 'llama3') {
    metadata.set(`${architecture}.rope.scaling.type`, ropeScaling.type);
    set('float32', 'rope.scaling.factor', ropeScaling.factor);
  }
  if (ropeScaling?.type === 'yarn') {
    set('uint32', 'rope.scaling.original_context_length', ropeScaling.originalContext);
    set('float32', 'rope.scaling.attn_factor', ropeScaling.attentionFactor);
    set('float32', 'rope.scaling.yarn_beta_fast', ropeScaling.betaFast);
    set('float32', 'rope.scaling.yarn_beta_slow', ropeScaling.betaSlow);
  }
  set('uint32', 'rope.scaling.original_context_length', shape.longRope?.originalContext);
  set('float32', 'rope.scaling.attn_factor', shape.longRope?.attentionFactor);
  for (const [key, value] of Object.entries(shape.keys ?? {})) metadata.set(`${architecture}.${key}`, value);
  return new Map([...metadata, ...randomVocabulary(shape)]);
}

/** Longrope's two sets of factors: near 1, and growing with the pair. */
function longRopeFactors({ longRope, ropeSize, headSize, hidden, heads }: ModelShape): GgufTensor[] {
  if (!longRope) return [];
  const pairs = (ropeSize ?? headSize ?? hidden / heads) / 2;
  return (['short', 'long'] as const).map((name) => {
    const factors = Float32Array.from(
      { length: pairs },
      (_, pair) => 1 + pair * (name === 'short' ? 0.02 : 1.5),
    );
    return {
      ...{ name: `rope_factors_${name}.weight`, format: formatByName('f32'), shape: [pairs] },
      data: new Uint8Array(factors.buffer),
    };
  });
}

/**
 * Llama 3's scaling as converters write it, a divisor per pair: 1 for wavelengths below original / high, `factor` above
 * original / low, between them the reciprocal of a line in original / wavelength.
 */
function ropeFactors(shape: ModelShape): GgufTensor[] {
  const { ropeScaling: scaling, ropeBase = 10_000 } = shape;
  if (scaling?.type !== 'llama3') return [];
  const rotated = shape.ropeSize ?? shape.headSize ?? shape.hidden / shape.heads;
  const { factor, originalContext, lowFrequencyFactor: low, highFrequencyFactor: high } = scaling;
  const factors = Float32Array.from({ length: rotated / 2 }, (_, pair) => {
    const turns = originalContext / (2 * Math.PI * ropeBase ** ((2 * pair) / rotated));
    const share = Math.min(1, Math.max(0, (turns - low) / (high - low)));
    return 1 / (share + (1 - share) / factor);
  });
  const data = new Uint8Array(factors.buffer);
  return [{ name: 'rope_freqs.weight', format: formatByName('f32'), shape: [factors.length], data }];
}
