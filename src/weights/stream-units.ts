/** What of a model's weights may be streamed: each layer as one image, used once a pass, in the order of the plan. */
import { ruleOf, type WeightValue } from '../graph.ts';
import type { Capability, Plan, Segment } from '../plan.ts';

/** Images begin and end at multiples of this, so that hosts can read them without copies. */
export const imageAlignment = 4096;

export interface UnitWeight {
  readonly weight: WeightValue;
  /** From the beginning of the image. */
  readonly offsetBytes: number;
  readonly byteLength: number;
}

/** The weights of one segment that no other uses, packed, one behind the other. */
export interface StreamUnit {
  /** For messages. */
  readonly name: string;
  readonly weights: readonly UnitWeight[];
  readonly byteLength: number;
}

export interface WeightRoles {
  /** In the order of use. */
  readonly units: readonly StreamUnit[];
  /** Index of a weight's unit, by tensor name. */
  readonly unitOf: ReadonlyMap<string, number>;
  /** The matrix of which a step reads single rows, where nothing else reads it. */
  readonly gathered: WeightValue | undefined;
  /** All others: used more than once a pass, or outside the layers. */
  readonly kept: readonly WeightValue[];
}

/** `plan` is cut by layers. */
export function weightRoles(plan: Plan, capability: Capability): WeightRoles {
  const readers = new Map<string, Segment[]>();
  for (const segment of plan.segments) {
    for (const { name } of segment.weights) readers.set(name, [...(readers.get(name) ?? []), segment]);
  }
  const gathered = gatheredWeight(plan);
  const units: StreamUnit[] = [];
  const unitOf = new Map<string, number>();
  for (const segment of plan.segments) {
    const layer = layerOf(segment);
    const own = segment.weights.filter(({ name }) => readers.get(name)?.length === 1);
    if (layer === undefined || own.length === 0) continue;
    for (const { name } of own) unitOf.set(name, units.length);
    units.push(unitFrom(`layer ${layer}`, own, capability));
  }
  const kept = plan.graph.weights.filter(({ name }) => name !== gathered?.name && !unitOf.has(name));
  return { units, unitOf, gathered, kept };
}

/** Undefined for what belongs to no layer, or to no part of a step that runs once. */
function layerOf({ stage, kernels }: Segment): number | undefined {
  if (stage !== 'body') return undefined;
  return kernels.flatMap(({ nodes }) => nodes).find(({ layer }) => layer !== undefined)?.layer;
}

function unitFrom(name: string, weights: readonly WeightValue[], capability: Capability): StreamUnit {
  const placed: UnitWeight[] = [];
  let end = 0;
  for (const weight of weights) {
    const byteLength = capability.packedBytes(weight.type);
    const offsetBytes = roundUp(end, capability.alignmentBytes);
    placed.push({ weight, offsetBytes, byteLength });
    end = offsetBytes + byteLength;
  }
  return { name, weights: placed, byteLength: roundUp(end, imageAlignment) };
}

function gatheredWeight({ graph }: Plan): WeightValue | undefined {
  for (const { operation, inputs } of graph.nodes) {
    const gathers = ruleOf(operation).gathers?.(operation);
    const weight = gathers === undefined ? undefined : inputs[gathers];
    const uses = graph.nodes.filter((node) => node.inputs.some(({ name }) => name === weight?.name));
    if (weight?.kind === 'weight' && uses.length === 1) return weight as WeightValue;
  }
  return undefined;
}

export function roundUp(bytes: number, multiple: number): number {
  return Math.ceil(bytes / multiple) * multiple;
}
