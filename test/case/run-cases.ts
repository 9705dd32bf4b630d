/** Runs cases on a backend and holds every value that can be seen against the exact evaluation. */
import type { Backend, PackedWeight } from '../../src/backend.ts';
import { type CacheType, type Graph, GraphBuilder, type Value, type WeightValue } from '../../src/graph.ts';
import { makePlan, type PlanOptions } from '../../src/plan.ts';
import { CaseMachine, type PackedWeights } from './case-machine.ts';
import { type OpCase, weightBytes } from './op-case.ts';
import { opCases } from './op-cases.ts';
import { Shadow } from './shadow.ts';

export interface CaseOutcome {
  readonly name: string;
  /** One line for each value that is off; empty where the case passes. */
  readonly problems: readonly string[];
  /** Kernels that the backend's plan used. */
  readonly patterns: ReadonlySet<string>;
  /** Why the case was not run. */
  readonly skipped?: string;
}

/** Opens the backend, runs the cases one after the other, closes it. */
export async function runCases(
  open: () => Backend | Promise<Backend>,
  cases: readonly OpCase[] = opCases,
): Promise<CaseOutcome[]> {
  const backend = await open();
  const outcomes: CaseOutcome[] = [];
  try {
    for (const opCase of cases) outcomes.push(await runCase(backend, opCase));
  } finally {
    await backend.close();
  }
  return outcomes;
}

/**
 * A case runs under two plans: the one an engine would use, of which only the results can be seen, and one in which every
 * value that survives fusion is observed, so that each kernel is judged alone. Graphs with layers also run cut at them.
 */
export async function runCase(
  backend: Backend,
  opCase: OpCase,
  cacheType: CacheType = 'f32',
): Promise<CaseOutcome> {
  const { name } = opCase;
  const capability = backend.describe();
  const graph = buildGraph(opCase);
  const refused = graph.nodes.find((node) => !capability.supports(node));
  if (refused) {
    const skipped = `the ${capability.backend} backend does not support ${JSON.stringify(refused.operation)}`;
    return { name, problems: [], patterns: new Set(), skipped };
  }
  const unkept = graph.caches.find((spec) => capability.cacheBlockBytes(spec, cacheType) === undefined);
  if (unkept) {
    const skipped = `the ${capability.backend} backend does not keep keys of ${unkept.keySize} as ${cacheType}`;
    return { name, problems: [], patterns: new Set(), skipped };
  }
  const { packed, decoded } = await packWeights(backend, graph, opCase);
  const fused = makePlan(graph, capability);
  const kernels = fused.segments.flatMap((segment) => segment.kernels);
  const survivors = [...new Set(kernels.flatMap((kernel) => kernel.outputs.map((output) => output.value)))];
  const variants: PlanOptions[] = [{}, { observed: survivors }];
  if (graph.caches.length > 1) variants.push({ cut: 'layers', observed: survivors });
  const problems: string[] = [];
  for (const options of variants) {
    const plan = makePlan(graph, capability, { ...options, cacheType });
    const seen = new Set([graph.logits, graph.argmax, ...(options.observed ?? [])]);
    const machine = new CaseMachine(backend, plan, packed, opCase.steps);
    const shadow = new Shadow(graph, capability, decoded, cacheType);
    for (const [index, step] of opCase.steps.entries()) {
      await machine.runStep(step);
      const values = await machine.readAll(seen);
      const found = shadow.runStep(step, (value) => values.get(value));
      const how = options.observed ? (options.cut ?? 'observed') : 'fused';
      problems.push(...found.map((problem) => `${how}, step ${index}: ${problem}`));
    }
    machine.dispose();
  }
  for (const weight of packed.values()) backend.unpack(weight);
  return { name, problems, patterns: new Set(kernels.map((kernel) => kernel.pattern)) };
}

export function buildGraph(opCase: OpCase): Graph {
  const most = (count: (step: OpCase['steps'][number]) => number) => Math.max(1, ...opCase.steps.map(count));
  const builder = new GraphBuilder({
    maxRows: most((step) => step.rows.length),
    maxSelected: most((step) => step.selected.length),
  });
  return opCase.build(builder);
}

/** Packs every weight of the graph on the backend, and decodes the same bytes exactly. */
export async function packWeights(
  backend: Backend,
  graph: Graph,
  opCase: OpCase,
): Promise<{ packed: PackedWeights; decoded: ReadonlyMap<Value, Float64Array> }> {
  const packed = new Map<WeightValue, PackedWeight>();
  const decoded = new Map<Value, Float64Array>();
  for (const weight of graph.weights) {
    const { format, shape } = weight.type;
    const bytes = weightBytes(weight.name, format, shape, opCase.fills?.[weight.name]);
    const blockCount = bytes.length / format.blockBytes;
    const values = new Float64Array(blockCount * format.blockValues);
    format.decode(bytes, 0, values, 0, blockCount);
    decoded.set(weight, values);
    const read = async (offset: number, target: Uint8Array) => {
      target.set(bytes.subarray(offset, offset + target.length));
    };
    packed.set(weight, await backend.pack(weight.type, read));
  }
  return { packed, decoded };
}
