/** Structural promises of a graph, for tests and for graphs built by hand. */
import { NearfieldError } from '../base/error.ts';
import type { Graph, GraphNode, Stage } from '../graph.ts';
import { ruleOf } from './operation.ts';

/** Stages whose values a node may read, its own among them. */
const readableStages: { readonly [Name in Stage]: readonly Stage[] } = {
  body: ['body'],
  head: ['body', 'head'],
  argmax: ['body', 'head', 'argmax'],
  commit: ['commit'],
};

/**
 * Throws `internal` unless every value is made before it is used, exactly once and in no later stage, nodes are numbered
 * in their order, and each layer's cache has one writer.
 */
export function checkGraph(graph: Graph): void {
  const made = new Set<number>(graph.weights.map((weight) => weight.id));
  const makers = new Map<number, GraphNode>();
  const writers = new Set<number>();
  graph.nodes.forEach((node, place) => {
    const { operation, inputs, output } = node;
    if (node.id !== place) fail(`${output.name} is node ${place} but numbered ${node.id}`);
    for (const input of inputs) {
      if (!made.has(input.id)) fail(`${output.name} uses ${input.name} before it is made`);
      const stage = makers.get(input.id)?.stage;
      if (stage && !readableStages[node.stage].includes(stage)) {
        fail(`${output.name} of stage ${node.stage} uses ${input.name} of stage ${stage}`);
      }
    }
    if (made.has(output.id)) fail(`${output.name} is made twice`);
    made.add(output.id);
    makers.set(output.id, node);
    const cache = ruleOf(operation).cacheSpec?.(operation);
    if (cache) {
      if (writers.has(cache.layer)) fail(`Layer ${cache.layer} writes its cache twice`);
      writers.add(cache.layer);
    }
  });
  for (const result of [graph.hidden, graph.logits, graph.argmax]) {
    if (!made.has(result.id)) fail(`${result.name} is a result nobody makes`);
  }
}

function fail(message: string): never {
  throw new NearfieldError('internal', message);
}
