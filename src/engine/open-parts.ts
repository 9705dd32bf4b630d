/** Opens what runs a model on one machine: cache, weights and executor, for the plan that fits the budget. */
import type { Model } from '../architecture.ts';
import type { Backend } from '../backend.ts';
import type { Cleanup } from '../base/cleanup.ts';
import { known } from '../base/error.ts';
import type { Checkpoint } from '../checkpoint.ts';
import { type ExecutorOptions, openExecutor, type PlanExecutor } from '../executor.ts';
import type { CacheType } from '../graph.ts';
import { type KvCache, openKvCache } from '../kv-cache.ts';
import type { Plan } from '../plan.ts';
import type { Budget, Weights } from '../weights.ts';
import type { Draft } from './draft.ts';
import type { LocalLoadOptions } from './load-local.ts';
import type { Machine } from './open-machine.ts';
import { openWeights, planForBudget } from './open-weights.ts';
import type { StreamPlan } from './plan-stream.ts';
import { survivingLoss } from './recovery.ts';

export interface ModelParts {
  readonly backend: Backend;
  readonly plan: Plan;
  /** Where the budget does not hold all weights. */
  readonly stream: StreamPlan | undefined;
  /** Rows that a sequence can hold. */
  readonly contextLength: number;
  readonly cache: KvCache;
  readonly weights: Weights;
  readonly executor: PlanExecutor;
}

export interface PartsQuestion {
  readonly checkpoint: Checkpoint;
  readonly model: Model;
  readonly budget: Budget;
  readonly draft: Draft | undefined;
  readonly cacheType: CacheType;
  /** Rows of a pass where none are stated. */
  readonly chunkRows: number;
  /** Of the context where all weights are held. */
  readonly statedLength: number;
  readonly gaps: ExecutorOptions['gaps'];
}

/** `opened` closes them. Throws as `loadEngine` does. */
export async function openParts(
  machine: Machine,
  question: PartsQuestion,
  options: LocalLoadOptions,
  opened: Cleanup,
): Promise<ModelParts> {
  const { checkpoint, model, budget, draft, cacheType, chunkRows, statedLength, gaps } = question;
  const { backend } = machine;
  const fitting = { model, cacheType, budget, draft, mostRows: chunkRows };
  const stream = planForBudget(machine, { ...options, ...fitting });
  const { plan, contextLength } = stream ?? {
    plan: known(machine.plan, 'plan'),
    contextLength: statedLength,
  };
  const cache = opened.add(openKvCache({ backend, layout: plan.cache, contextLength, budget }), (pages) =>
    pages.close(),
  );
  const toLoad = { checkpoint, backend, budget, plan, stream };
  backend.expect?.(plan);
  const weights = await survivingLoss(
    backend,
    () => openWeights(toLoad, options, opened),
    () => draft?.repack(backend),
  );
  const onTrace = options.onTrace ? { onTrace: options.onTrace } : {};
  const executor = opened.add(
    openExecutor({ backend, plan, weights, cache, budget, gaps, ...onTrace }),
    (steps) => steps.close(),
  );
  return { backend, plan, stream, contextLength, cache, weights, executor };
}
