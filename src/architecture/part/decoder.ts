/** The decoder stack that most families share; a family states where it differs, as data. */
import type { Architecture, GraphLimits, Model } from '../../architecture.ts';
import { NearfieldError } from '../../base/error.ts';
import type { Checkpoint } from '../../checkpoint.ts';
import type { Activation, Graph } from '../../graph.ts';
import { type AttentionBlock, attentionBlock } from './attention-block.ts';
import { ConfigurationReader, type DecoderConfiguration, readDecoderConfiguration } from './configuration.ts';
import { gatedFeedForward } from './gated-feed-forward.ts';
import { ModelBuilder } from './model-builder.ts';
import { type Rotary, readRotary, rotaryFactorsTensor } from './rotary.ts';

export interface DecoderFamily extends Pick<AttentionBlock, 'pairing' | 'queryKeyValueBias'> {
  /** Values of `general.architecture` it answers to. */
  readonly names: readonly string[];
  readonly activation: Activation;
  /** Rows that the attention of a layer sees at most; undefined sees all. */
  window(configuration: DecoderConfiguration, layer: number): number | undefined;
}

export function decoderArchitecture(family: DecoderFamily): Architecture {
  return {
    names: family.names,
    async open(checkpoint, signal): Promise<Model> {
      refuseExperts(checkpoint);
      const configuration = readDecoderConfiguration(checkpoint);
      const rotary = await readRotary(checkpoint, configuration, signal);
      const build = (limits: GraphLimits) => buildDecoder(checkpoint, family, configuration, rotary, limits);
      // Building looks at every weight, so a graph of the smallest bounds checks the whole checkpoint.
      refuseStrangers(checkpoint, build({ maxRows: 1, maxSelected: 1 }));
      const { vocabularySize, contextLength, layerCount, hiddenSize } = configuration;
      const architecture = checkpoint.metadata.string('general.architecture');
      const name = checkpoint.metadata.string('general.name', checkpoint.name);
      const parameterCount = countParameters(checkpoint);
      return {
        description: {
          architecture,
          name,
          vocabularySize,
          contextLength,
          layerCount,
          hiddenSize,
          parameterCount,
        },
        build,
      };
    },
  };
}

function buildDecoder(
  checkpoint: Checkpoint,
  family: DecoderFamily,
  configuration: DecoderConfiguration,
  rotary: Rotary,
  limits: GraphLimits,
): Graph {
  const { hiddenSize, vocabularySize, layerCount, normEpsilon } = configuration;
  const builder = new ModelBuilder(checkpoint, limits);
  const embedding = builder.weight('token_embd.weight', [vocabularySize, hiddenSize]);
  let hidden = builder.apply({ op: 'embed' }, [embedding], 'token_embd');
  for (let layer = 0; layer < layerCount; layer++) {
    builder.graph.enterLayer(layer);
    const window = family.window(configuration, layer);
    const forAttention = builder.rmsNorm(hidden, `blk.${layer}.attn_norm`, hiddenSize, normEpsilon);
    const attended = attentionBlock(builder, forAttention, layer, configuration, {
      ...family,
      rotary,
      window,
    });
    hidden = builder.add(hidden, attended, `blk.${layer}.attn_residual`);
    const forFeedForward = builder.rmsNorm(hidden, `blk.${layer}.ffn_norm`, hiddenSize, normEpsilon);
    const fed = gatedFeedForward(builder, forFeedForward, layer, configuration, family.activation);
    hidden = builder.add(hidden, fed, `blk.${layer}.ffn_residual`);
  }
  builder.graph.enterLayer(undefined);
  return builder.graph.finish(hidden, (selected) => {
    const normalized = builder.rmsNorm(selected, 'output_norm', hiddenSize, normEpsilon);
    // Without a head of its own the model reads its embedding backwards.
    const head = builder.has('output.weight') ? 'output' : 'token_embd';
    return builder.linear(normalized, head, [vocabularySize, hiddenSize]);
  });
}

function refuseExperts(checkpoint: Checkpoint): void {
  const reader = new ConfigurationReader(checkpoint.metadata);
  const expertCount = reader.count('expert_count', { fallback: 0, least: 0 });
  if (expertCount === 0) return;
  throw new NearfieldError(
    'unsupported',
    `${checkpoint.name} is a ${reader.architecture} model of ${expertCount} experts; use one without experts`,
  );
}

/** A tensor no node uses means more layers or other parts than the configuration states: the output would be wrong. */
function refuseStrangers(checkpoint: Checkpoint, graph: Graph): void {
  const used = new Set(graph.weights.map((weight) => weight.tensor));
  for (const name of checkpoint.tensors.keys()) {
    // Rotary frequencies are read apart; old files repeat the plain ones layer by layer.
    if (used.has(name) || name === rotaryFactorsTensor || /^blk\.\d+\.attn_rot_embd$/.test(name)) continue;
    throw new NearfieldError(
      'bad-file',
      `Tensor ${JSON.stringify(name.slice(0, 80))} has no place in a model of ${graph.caches.length} layers with this configuration: the file is damaged or badly converted`,
    );
  }
}

function countParameters(checkpoint: Checkpoint): number {
  let count = 0;
  for (const { shape } of checkpoint.tensors.values())
    count += shape.reduce((product, size) => product * size, 1);
  return count;
}
