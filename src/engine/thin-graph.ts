/**
 * A graph of the same model with fewer layers and a shorter vocabulary, for measuring what one layer costs: the layers
 * that stay are chained where the others were cut out.
 */
import { known } from '../base/error.ts';
import { type Graph, GraphBuilder, type GraphNode, type Value, type WeightValue } from '../graph.ts';

export interface ThinLimits {
  readonly maxRows: number;
  readonly maxSelected: number;
  /** Rows of the embedding and of the head at most. */
  readonly vocabularyRows: number;
}

/** Layers of a graph, in order. */
export function layersOf(graph: Graph): number[] {
  const layers = new Set<number>();
  for (const { layer, stage } of graph.nodes) if (layer !== undefined && stage === 'body') layers.add(layer);
  return [...layers];
}

/**
 * `layers` is a part of `layersOf(graph)` in the same order. Undefined where the layers do not form a chain (one reads
 * more than the result of the layer before it), so that none can be left out.
 */
export function thinGraph(graph: Graph, layers: readonly number[], limits: ThinLimits): Graph | undefined {
  const all = layersOf(graph);
  const entries = layerEntries(graph, all);
  if (!entries) return undefined;
  const exitOf = (layer: number): Value => entries.get(all[all.indexOf(layer) + 1] ?? -1) ?? graph.hidden;
  const body = graph.nodes.filter((node) => node.stage === 'body');
  const firstOfLayers = body.findIndex((node) => node.layer !== undefined);
  const lastOfLayers = body.findLastIndex((node) => node.layer !== undefined);
  const builder = new GraphBuilder(limits);
  const copy = new GraphCopy(builder, known(graph.logits.type.shape[1], 'vocabulary'), limits.vocabularyRows);

  for (const node of body.slice(0, firstOfLayers)) copy.add(node);
  let current = copy.of(known(entries.get(known(all[0], 'first layer')), 'entry of the first layer'));
  for (const layer of layers) {
    copy.set(known(entries.get(layer), `entry of layer ${layer}`), current);
    for (const node of body) if (node.layer === layer) copy.add(node);
    current = copy.of(exitOf(layer));
  }
  copy.set(exitOf(known(all.at(-1), 'last layer')), current);
  for (const node of body.slice(lastOfLayers + 1)) copy.add(node);
  return builder.finish(copy.of(graph.hidden), (selected) => {
    const head = graph.nodes.filter((node) => node.stage === 'head');
    for (const node of head) {
      if (node.inputs.includes(graph.hidden)) copy.set(node.output, selected);
      else copy.add(node);
    }
    return copy.of(graph.logits);
  });
}

/** The one activation from outside that each layer reads; undefined where a layer reads several, or another's cache. */
function layerEntries(graph: Graph, layers: readonly number[]): Map<number, Value> | undefined {
  const layerOf = new Map(graph.nodes.map((node) => [node.output, node.layer]));
  const entries = new Map<number, Value>();
  for (const { layer, stage, inputs } of graph.nodes) {
    if (layer === undefined || stage !== 'body') continue;
    for (const input of inputs) {
      if (input.kind === 'weight' || layerOf.get(input) === layer) continue;
      const before = entries.get(layer);
      if (input.kind === 'cache' || (before && before !== input)) return undefined;
      entries.set(layer, input);
    }
  }
  const follows = layers.every((layer, index) => {
    const entry = entries.get(layer);
    return entry !== undefined && layerOf.get(entry) === (index === 0 ? undefined : layers[index - 1]);
  });
  return follows && layers.length > 0 ? entries : undefined;
}

/** Nodes of one graph added to another, with the values that stand for theirs there. */
class GraphCopy {
  readonly #builder: GraphBuilder;
  readonly #vocabulary: unknown;
  readonly #vocabularyRows: number;
  readonly #values = new Map<Value, Value>();

  constructor(builder: GraphBuilder, vocabulary: unknown, vocabularyRows: number) {
    this.#builder = builder;
    this.#vocabulary = vocabulary;
    this.#vocabularyRows = vocabularyRows;
  }

  set(original: Value, value: Value): void {
    this.#values.set(original, value);
  }

  of(original: Value): Value {
    return known(this.#values.get(original), `copy of ${original.name}`);
  }

  add({ operation, inputs, output, layer }: GraphNode): void {
    this.#builder.enterLayer(layer);
    const copies = inputs.map((input) =>
      input.kind === 'weight' ? this.#weight(input as WeightValue, layer) : this.of(input),
    );
    this.set(output, this.#builder.apply(operation, copies, output.name));
  }

  /** Weights outside the layers with a row per word of the vocabulary get fewer rows. */
  #weight(weight: WeightValue, layer: number | undefined): Value {
    const { name, type } = weight;
    const [rows = 0, ...rest] = type.shape;
    const isVocabulary = layer === undefined && rows === this.#vocabulary;
    if (!isVocabulary) return this.#builder.weight(name, type.format, type.shape, weight);
    return this.#builder.weight(name, type.format, [Math.min(rows, this.#vocabularyRows), ...rest]);
  }
}
