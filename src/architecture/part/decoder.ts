/** The decoder stack that most families share; a family states where it differs, as data. */
import type { Architecture, GraphLimits, Model } from '../../architecture.ts';
import { NearfieldError } from '../../base/error.ts';
import type { Checkpoint } from '../../checkpoint.ts';
import { type Graph, type Value, valuesRead, weightShares } from '../../graph.ts';
import { attentionBlock } from './attention-block.ts';
import { ConfigurationReader, type DecoderConfiguration, readDecoderConfiguration } from './configuration.ts';
import { type ExpertConfiguration, expertFeedForward, readExperts } from './expert-feed-forward.ts';
import type { BlockLayout, DecoderFamily, Multipliers, SoftCaps } from './family.ts';
import { feedForward } from './feed-forward.ts';
import { ModelBuilder } from './model-builder.ts';
import { type Rotaries, readRotaries, rotaryTensors } from './rotary.ts';

/** A family with what it makes of one file. */
interface Decoder {
  readonly family: DecoderFamily;
  readonly configuration: DecoderConfiguration;
  readonly rotaries: Rotaries;
  readonly layout: BlockLayout;
  readonly multipliers: Multipliers;
  readonly softCaps: SoftCaps;
  /** Undefined where the feed-forward blocks have no experts. */
  readonly experts: ExpertConfiguration | undefined;
}

export function decoderArchitecture(family: DecoderFamily): Architecture {
  return {
    names: family.names,
    async open(checkpoint, signal): Promise<Model> {
      const reader = new ConfigurationReader(checkpoint.metadata);
      if (!family.experts) refuseExperts(checkpoint, reader);
      const configuration = readDecoderConfiguration(checkpoint, reader, family.norm.op);
      const has = (tensor: string): boolean => checkpoint.tensors.has(tensor);
      const traits = { reader, configuration, has };
      const decoder: Decoder = {
        family,
        configuration,
        rotaries: await readRotaries(checkpoint, reader, configuration, family.localBase, signal),
        layout: family.block(traits),
        multipliers: family.multipliers(traits),
        softCaps: family.softCaps(traits),
        experts: family.experts && readExperts(reader, configuration, family.experts),
      };
      const build = (limits: GraphLimits) => buildDecoder(checkpoint, decoder, limits);
      // Building looks at every weight, so a graph of the smallest bounds checks the whole checkpoint.
      const smallest = build({ maxRows: 1, maxSelected: 1 });
      refuseStrangers(checkpoint, smallest);
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
          activeParameterCount: parameterCount - countIdle(smallest),
        },
        build,
      };
    },
  };
}

function buildDecoder(checkpoint: Checkpoint, decoder: Decoder, limits: GraphLimits): Graph {
  const { family, configuration, multipliers, softCaps } = decoder;
  const { hiddenSize, vocabularySize, layerCount, contextLength, normEpsilon } = configuration;
  const builder = new ModelBuilder(checkpoint, limits);
  const embedding = builder.weight('token_embd.weight', [vocabularySize, hiddenSize]);
  const embedded = builder.apply({ op: 'embed' }, [embedding], 'token_embd');
  let hidden = builder.scale(embedded, multipliers.embedding);
  if (family.learnsPositions) {
    const table = builder.weight('position_embd.weight', [contextLength, hiddenSize]);
    const places = builder.apply({ op: 'embed', by: 'position' }, [table], 'position_embd');
    hidden = builder.add(hidden, places, 'placed');
  }
  for (let layer = 0; layer < layerCount; layer++) {
    builder.graph.enterLayer(layer);
    hidden = decoderBlock(builder, hidden, layer, decoder, limits.contextLength ?? contextLength);
  }
  builder.graph.enterLayer(undefined);
  return builder.graph.finish(hidden, (selected) => {
    const normalized = builder.norm(selected, 'output_norm', family.norm, hiddenSize, normEpsilon);
    // Without a head of its own the model reads its embedding backwards.
    const head = builder.has('output.weight') ? 'output' : 'token_embd';
    const logits = builder.linear(normalized, head, [vocabularySize, hiddenSize]);
    const scaled = builder.scale(logits, multipliers.logits);
    if (softCaps.logits === undefined) return scaled;
    return builder.apply({ op: 'softcap', limit: softCaps.logits }, [scaled], 'capped');
  });
}

/** One layer: the residual stream in, the residual stream out. */
function decoderBlock(
  builder: ModelBuilder,
  stream: Value,
  layer: number,
  { family, configuration, rotaries, layout, multipliers, softCaps, experts }: Decoder,
  contextLength: number,
): Value {
  const { hiddenSize, keySize, normEpsilon } = configuration;
  const prefix = `blk.${layer}`;
  const normed = (value: Value, name: string | undefined): Value =>
    name === undefined
      ? value
      : builder.norm(value, `${prefix}.${name}`, family.norm, hiddenSize, normEpsilon);
  const added = (sum: Value, part: Value, after: string | undefined, name: string): Value =>
    builder.add(sum, builder.scale(normed(part, after), multipliers.residual), `${prefix}.${name}`);

  const forAttention = normed(stream, layout.beforeAttention);
  const attended = attentionBlock(builder, forAttention, layer, configuration, {
    family,
    rotary: rotaries[family.rotation(configuration, layer)](contextLength),
    window: family.window(configuration, layer),
    scale: multipliers.scores ?? 1 / Math.sqrt(keySize),
    softCap: softCaps.scores,
  });
  const middle = added(stream, attended, layout.afterAttention, 'attn_residual');
  const isParallel = layout.parts === 'parallel';
  const { beforeFeedForward } = layout;
  const forFeedForward =
    isParallel && beforeFeedForward === undefined
      ? forAttention
      : normed(isParallel ? stream : middle, beforeFeedForward);
  const fed = experts
    ? expertFeedForward(builder, forFeedForward, layer, configuration, experts)
    : feedForward(builder, forFeedForward, layer, configuration, family);
  return added(middle, fed, layout.afterFeedForward, 'ffn_residual');
}

function refuseExperts(checkpoint: Checkpoint, reader: ConfigurationReader): void {
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
    if (used.has(name) || rotaryTensors.includes(name) || /^blk\.\d+\.attn_rot_embd$/.test(name)) continue;
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

/** Values of experts that are not chosen for a token. */
function countIdle(graph: Graph): number {
  const { weights } = graph;
  return Math.round(valuesRead(weights, new Map()) - valuesRead(weights, weightShares(graph)));
}
