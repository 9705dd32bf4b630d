/** What one token of a plan asks of the machine: launches, and bytes of weights that are read. */
import { ruleOf, type Stage } from '../graph.ts';
import type { Capability, Plan, Segment } from '../plan.ts';

export interface TokenCost {
  readonly launches: number;
  /** Of the body, per layer with a cache. */
  readonly launchesPerLayer: number;
  /** Packed weights that are read whole: all but tables of which a token reads a row. */
  readonly weightBytes: number;
}

/** The stages of a step that wants the most likely token. */
const stages: readonly Stage[] = ['body', 'head', 'argmax'];

export function tokenCost(plan: Plan, capability: Capability): TokenCost {
  const segments = plan.segments.filter(({ stage }) => stages.includes(stage));
  const count = (segment: Segment) => capability.launches?.(segment, plan, [1, 1]) ?? segment.kernels.length;
  const sum = (list: readonly Segment[]) => list.reduce((total, segment) => total + count(segment), 0);
  const weights = new Map<string, number>();
  for (const { kernels } of segments) {
    for (const node of kernels.flatMap(({ nodes }) => nodes)) {
      node.inputs.forEach((input, place) => {
        const weight = plan.graph.weights.find((candidate) => candidate === input);
        if (!weight || ruleOf(node.operation).gathers?.(node.operation) === place) return;
        weights.set(weight.name, capability.packedBytes(weight.type));
      });
    }
  }
  const layers = Math.max(1, plan.graph.caches.length);
  const inLayers = segments.filter(({ stage }) => stage === 'body');
  const outside = inLayers
    .flatMap(({ kernels }) => kernels)
    .filter(({ nodes }) => nodes.every(({ layer }) => layer === undefined)).length;
  return {
    launches: sum(segments),
    launchesPerLayer: (sum(inLayers) - outside) / layers,
    weightBytes: [...weights.values()].reduce((total, bytes) => total + bytes, 0),
  };
}
