/** Opens a backend for a graph: with one memory where that holds the model, else with as many as the plan is spread over. */
import { type Backend, type BackendName, type BackendOptions, openBackend } from '../backend.ts';
import type { Cleanup } from '../base/cleanup.ts';
import type { Graph } from '../graph.ts';
import { addressablePages, makePlan, type Plan, type PlanOptions } from '../plan.ts';

/** Rows of cache that a model has room for at least where the caller states no context. */
const roomyRows = 8192;

/** Rows of cache that memories are chosen for: all of a context that was asked for, of a long one that was not some. */
export function rowsWithRoom(stated: number | undefined, trained: number): number {
  return stated ?? Math.min(trained, roomyRows);
}

export interface Machine {
  readonly backend: Backend;
  /** Undefined where neither `mostWeightBytes` nor the machine's memories hold all weights at once. */
  readonly plan: Plan | undefined;
}

/** `first` has one memory. Throws whatever `openBackend` throws, and `unsupported`. */
export async function openMachine(
  first: Backend,
  name: BackendName,
  options: BackendOptions,
  graph: Graph,
  wanted: PlanOptions,
  mostWeightBytes: number,
  opened: Cleanup,
): Promise<Machine> {
  const capability = first.describe();
  const plan = makePlan(graph, capability, wanted);
  const weightBytes = plan.weightBytes.reduce((sum, bytes) => sum + bytes, 0);
  if (weightBytes > mostWeightBytes || addressablePages(plan, capability) < 1) {
    return { backend: first, plan: undefined };
  }
  const memories = plan.weightBytes.length;
  if (memories === 1) return { backend: first, plan };
  await first.close();
  const backend = opened.add(await openBackend(name, { ...options, memories }), (machine) => machine.close());
  return { backend, plan };
}
