/** Makes a plan: cut in segments, fuse, decide storage forms, lay out the arena. */
import { known, NearfieldError } from '../base/error.ts';
import {
  type CacheType,
  type Graph,
  type GraphNode,
  ruleOf,
  type Stage,
  type Value,
  type WeightValue,
} from '../graph.ts';
import type { Capability, Kernel, Operand, Plan, PlannedBuffer, Segment, StorageForm } from '../plan.ts';
import { addDims, tensorBytes } from '../tensor.ts';
import { layOutArena } from './arena.ts';
import { fuseSegment, type GraphView, type Group } from './fuse.ts';
import { addressablePages, type Spread, spreadCache, spreadLayers, together } from './spread.ts';

export interface PlanOptions {
  /** Where a stage is cut besides its ends: nowhere, or between layers (weights may then be streamed layer by layer). */
  readonly cut?: 'stages' | 'layers';
  /** How the cache keeps keys and values; `f32` unless said. */
  readonly cacheType?: CacheType;
  /** Values somebody wants to look at: kept whole, never fused away. */
  readonly observed?: readonly Value[];
  /**
   * Rows of cache that are to have room beside the weights. Where one memory of the machine does not hold both, the
   * layers are spread over the fewest that do, or, where none do, that hold a half of the rows, a quarter…
   * Without it everything is in one memory.
   */
  readonly cacheRows?: number;
  /** Rows of the longest sequence, `cacheRows` unless said: pages are not longer. */
  readonly contextRows?: number;
}

/** Order of the stages of one step; `commit` runs on its own. */
const stageOrder: readonly Stage[] = ['body', 'head', 'argmax', 'commit'];

/** A launch before its operands have places. */
interface Launch {
  readonly group: Group;
  readonly reads: { readonly value: Value; readonly form: StorageForm }[];
  readonly writes: { readonly value: Value; readonly form: StorageForm }[];
}

export function makePlan(graph: Graph, capability: Capability, options: PlanOptions = {}): Plan {
  const refused = graph.nodes.find((node) => !capability.supports(node));
  if (refused) {
    throw new NearfieldError(
      'unsupported',
      `The ${capability.backend} backend cannot run ${refused.operation.op}`,
    );
  }
  const plan = planOver(together, graph, capability, options);
  const { addressableBytes, mostMemories } = capability;
  const wanted = Math.ceil((options.cacheRows ?? 0) / plan.cache.pageRows);
  if (addressablePages(plan, capability) >= wanted) return plan;
  for (let pages = wanted; pages > 0; pages = Math.floor(pages / 2)) {
    const bytes = known(plan.weightBytes[0], 'memory') + pages * plan.cache.pageBytes;
    for (let memories = Math.ceil(bytes / addressableBytes); memories <= mostMemories; memories++) {
      const spread = spreadLayers(plan, capability, memories, pages);
      const candidate = planOver(spread, graph, capability, options);
      if (addressablePages(candidate, capability) >= pages) return candidate;
    }
  }
  return plan;
}

function planOver(spread: Spread, graph: Graph, capability: Capability, options: PlanOptions): Plan {
  const { cacheType = 'f32', cacheRows = Number.POSITIVE_INFINITY, contextRows = cacheRows } = options;
  const observed = new Set(options.observed);
  const pieces = cutSegments(graph, options.cut ?? 'stages', spread);
  const readers = readersByValue(graph);
  const launches = pieces.map(({ nodes }) => {
    const made = new Map(nodes.map((node) => [node.output, node]));
    const view: GraphView = {
      producer: (value) => made.get(value),
      readers: (value) => readers.get(value) ?? [],
    };
    return fuseSegment(nodes, view, capability, singleGroup, observed).map(
      (group): Launch => launchOf(group, capability, readers),
    );
  });
  // The head may run several times after one body (more rows wanted than it takes at once), so `hidden` outlives it.
  const results = [graph.hidden, graph.logits, graph.argmax, ...observed];
  const withForms = convertForms(launches, capability, results);
  const { buffers, operand, arenaBytes } = placeBuffers(withForms, capability, results);
  const segments = pieces.map(({ stage, memory, nodes }, index): Segment => {
    const kernels = known(withForms[index], 'segment').map(
      ({ group, reads, writes }): Kernel => ({
        pattern: group.pattern,
        nodes: group.nodes,
        inputs: reads.map(({ value, form }) => operand(value, form)),
        outputs: writes.map(({ value, form }) => operand(value, form)),
      }),
    );
    return { stage, kernels, weights: weightsOf(nodes), memory };
  });
  return {
    ...placeWeights(segments, capability, spread),
    graph,
    segments,
    arenaBytes,
    logits: operand(graph.logits, capability.form),
    argmax: operand(graph.argmax, capability.form),
    cache: spreadCache(graph.caches, cacheType, capability, spread, contextRows),
    buffers,
  };
}

interface Piece {
  readonly stage: Stage;
  readonly layer: number | undefined;
  readonly memory: number;
  readonly nodes: GraphNode[];
}

function cutSegments(graph: Graph, cut: 'stages' | 'layers', { memoryOf }: Spread): Piece[] {
  const pieces: Piece[] = [];
  for (const stage of stageOrder) {
    for (const node of graph.nodes) {
      if (node.stage !== stage) continue;
      const open = pieces.at(-1);
      const { layer } = node;
      const memory = memoryOf(layer);
      const splits = cut === 'layers' && stage === 'body' && open?.layer !== layer;
      if (open && open.stage === stage && open.memory === memory && !splits) open.nodes.push(node);
      else pieces.push({ stage, layer, memory, nodes: [node] });
    }
  }
  return pieces;
}

function readersByValue(graph: Graph): Map<Value, GraphNode[]> {
  const readers = new Map<Value, GraphNode[]>();
  for (const node of graph.nodes) {
    for (const input of node.inputs) {
      const list = readers.get(input);
      if (list) list.push(node);
      else readers.set(input, [node]);
    }
  }
  return readers;
}

function singleGroup(node: GraphNode): Group {
  const place = ruleOf(node.operation).inPlace;
  const input = place === undefined ? undefined : node.inputs[place];
  const inPlace = input ? { input, output: node.output } : undefined;
  return { pattern: node.operation.op, nodes: [node], inPlace };
}

function launchOf(group: Group, capability: Capability, readers: ReadonlyMap<Value, GraphNode[]>): Launch {
  const members = new Set(group.nodes);
  const inside = new Set(group.nodes.map((node) => node.output));
  const read = new Set(group.nodes.flatMap((node) => node.inputs));
  const reads = [...read]
    .filter((value) => value.kind === 'activation' && !inside.has(value))
    .map((value) => ({ value, form: capability.reads(group.nodes, value) }));
  const writes = group.nodes
    .map((node) => node.output)
    .filter(
      (value) => value.kind === 'activation' && tensorBytes({ ...value.type, format: capability.form }) !== 0,
    )
    .filter((value) => {
      const list = readers.get(value) ?? [];
      return list.length === 0 || list.some((reader) => !members.has(reader));
    })
    .map((value) => ({ value, form: capability.form }));
  return { group, reads, writes };
}

/** Makes every producer write the forms its readers want, with conversions where it cannot. */
function convertForms(segments: Launch[][], capability: Capability, results: readonly Value[]): Launch[][] {
  const wanted = new Map<Value, Set<StorageForm>>();
  for (const { value, form } of segments.flat().flatMap((launch) => launch.reads)) {
    const forms = wanted.get(value);
    if (forms) forms.add(form);
    else wanted.set(value, new Set([form]));
  }
  for (const value of results) wanted.set(value, (wanted.get(value) ?? new Set()).add(capability.form));
  return segments.map((launches) =>
    launches.flatMap((launch) => {
      const writes: Launch['writes'] = [];
      const conversions: Launch[] = [];
      for (const { value } of launch.writes) {
        const forms = [...(wanted.get(value) ?? [])];
        const able = capability.writes(launch.group.nodes, value);
        const direct = forms.filter((form) => able.includes(form));
        const missing = forms.filter((form) => !able.includes(form));
        if (missing.length > 0 && !direct.includes(capability.form)) direct.push(capability.form);
        for (const form of direct) writes.push({ value, form });
        for (const form of missing) {
          const group: Group = { pattern: 'convert', nodes: [], inPlace: undefined };
          conversions.push({ group, reads: [{ value, form: capability.form }], writes: [{ value, form }] });
        }
      }
      return [{ ...launch, writes }, ...conversions];
    }),
  );
}

function placeBuffers(segments: Launch[][], capability: Capability, results: readonly Value[]) {
  const launches = segments.flat();
  const key = (value: Value, form: StorageForm) => `${value.id}:${form.name}`;
  const last = new Map<string, number>();
  const kept = new Set(results);
  launches.forEach(({ reads, writes }, index) => {
    for (const { value, form } of [...reads, ...writes]) {
      last.set(key(value, form), kept.has(value) ? launches.length : index);
    }
  });
  const pending: (Omit<PlannedBuffer, 'slot' | 'offset'> & { takesOver: number | undefined })[] = [];
  const indexOf = new Map<string, number>();
  launches.forEach(({ group, writes }, first) => {
    for (const { value, form } of writes) {
      const bytes = tensorBytes({ shape: value.type.shape, format: form });
      const source = group.inPlace?.output === value ? key(group.inPlace.input, form) : undefined;
      const mayTakeOver = source !== undefined && form === capability.form && last.get(source) === first;
      const takesOver = mayTakeOver ? indexOf.get(source) : undefined;
      indexOf.set(key(value, form), pending.length);
      pending.push({
        value,
        form,
        bytes,
        first,
        last: known(last.get(key(value, form)), 'lifetime'),
        takesOver,
      });
    }
  });
  const layout = layOutArena(pending, capability.alignmentBytes);
  const buffers = pending.map(({ takesOver: _, ...buffer }, index): PlannedBuffer => {
    return { ...buffer, ...known(layout.places[index], 'place') };
  });
  const operand = (value: Value, form: StorageForm): Operand =>
    known(buffers[known(indexOf.get(key(value, form)), `place of ${value.name}`)], 'buffer');
  return { buffers, operand, arenaBytes: addDims(layout.bytes, capability.overreadBytes) };
}

/** Where the weights are, and how much of them in each memory. */
function placeWeights(
  segments: readonly Segment[],
  { packedBytes }: Capability,
  { memories }: Spread,
): Pick<Plan, 'weightBytes' | 'memoryOf'> {
  const places = new Map<string, number>();
  const weightBytes = Array.from({ length: memories }, () => 0);
  for (const { memory, weights } of segments) {
    for (const { name, type } of weights) {
      const before = places.get(name);
      if (before !== undefined && before !== memory) {
        throw new NearfieldError('internal', `${name} is read in two memories`);
      }
      if (before === undefined) weightBytes[memory] = (weightBytes[memory] ?? 0) + packedBytes(type);
      places.set(name, memory);
    }
  }
  return { weightBytes, memoryOf: ({ name }) => known(places.get(name), `place of ${name}`) };
}

function weightsOf(nodes: readonly GraphNode[]): WeightValue[] {
  const inputs = new Set(nodes.flatMap((node) => node.inputs));
  return [...inputs].filter((value): value is WeightValue => value.kind === 'weight');
}
