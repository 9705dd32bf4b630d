/** A model opened down to its executor, for measurements that the engine's interface does not reach. */
import { openModel } from '../../src/architecture.ts';
import { type Backend, openBackend } from '../../src/backend.ts';
import { Cleanup } from '../../src/base/cleanup.ts';
import { openCheckpoint } from '../../src/checkpoint.ts';
import { openExecutor, type PlanExecutor, type StepRow } from '../../src/executor.ts';
import type { CacheType } from '../../src/graph.ts';
import { type KvCache, openKvCache, type Sequence } from '../../src/kv-cache.ts';
import { makePlan, type Plan } from '../../src/plan.ts';
import { loadWeights, openBudget } from '../../src/weights.ts';

export interface ModelBelowEngine {
  readonly backend: Backend;
  readonly plan: Plan;
  readonly cache: KvCache;
  readonly executor: PlanExecutor;
  /** A chain of these tokens behind the sequence's committed rows. */
  nextRows(sequence: Sequence, tokens: readonly number[]): StepRow[];
  close(): Promise<void>;
}

export interface BelowEngineOptions {
  readonly threads: number;
  readonly contextLength: number;
  readonly cacheType?: CacheType;
  /** Stands between the executor and the backend. */
  readonly watch?: (backend: Backend) => Backend;
}

/** Rows of a step and rows with logits, as the engine has them. */
const [maxRows, maxSelected] = [512, 64];

export async function openModelBelowEngine(
  path: string,
  { threads, contextLength, cacheType = 'f32', watch = (backend) => backend }: BelowEngineOptions,
): Promise<ModelBelowEngine> {
  const opened = new Cleanup();
  const budget = openBudget();
  try {
    const checkpoint = opened.add(await openCheckpoint(path), (file) => file.close());
    const model = await openModel(checkpoint);
    const machine = opened.add(await openBackend('wasm', { threads }), (computer) => computer.close());
    const backend = watch(machine);
    const plan = makePlan(model.build({ maxRows, maxSelected }), backend.describe(), { cacheType });
    const cache = opened.add(openKvCache({ backend, layout: plan.cache, contextLength, budget }), (pages) =>
      pages.close(),
    );
    const load = loadWeights({ weights: plan.graph.weights, checkpoint, backend, budget });
    const weights = opened.add(await load, (packed) => packed.close());
    const executor = opened.add(openExecutor({ backend, plan, weights, cache, budget }), (steps) =>
      steps.close(),
    );
    return { backend, plan, cache, executor, nextRows: chainRows, close: () => opened.close() };
  } catch (error) {
    await opened.close().catch(() => {});
    throw error;
  }
}

function chainRows(sequence: Sequence, tokens: readonly number[]): StepRow[] {
  const { committed } = sequence;
  return tokens.map((token, index) => ({
    sequence,
    token,
    position: committed + index,
    parent: index === 0 ? committed - 1 : { row: index - 1 },
  }));
}
