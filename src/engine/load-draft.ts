/** Opens a draft model for a target: resident as a whole, on the target's backend where that has one memory. */
import { type ModelDescription, openModel } from '../architecture.ts';
import { type Backend, type BackendName, type BackendOptions, openBackend } from '../backend.ts';
import { Cleanup } from '../base/cleanup.ts';
import { NearfieldError } from '../base/error.ts';
import { openCheckpoint } from '../checkpoint.ts';
import type { LoadOptions, LoadProgress, ModelInput } from '../engine.ts';
import { type ExecutorOptions, openExecutor, type PlanExecutor, type TraceEvent } from '../executor.ts';
import type { CacheType } from '../graph.ts';
import { type KvCache, openKvCache } from '../kv-cache.ts';
import { addressablePages, makePlan, type Plan, type PlanOptions } from '../plan.ts';
import { openTokenizer } from '../tokenizer.ts';
import { type Budget, loadWeights, repackWeights, type Weights } from '../weights.ts';
import { rowsWithRoom } from './open-machine.ts';
import { selectedRows } from './pass-bounds.ts';
import { expectSharedVocabulary, type NamedVocabulary } from './shared-vocabulary.ts';

export interface DraftParts {
  /** File name or URL. */
  readonly source: string;
  readonly description: ModelDescription;
  readonly contextLength: number;
  readonly executor: PlanExecutor;
  readonly cache: KvCache;
  readonly weights: Weights;
  /** Packs the weights again where this machine, which was lost, holds them. */
  repack(lost: Backend): Promise<void>;
}

/** What a draft takes over from its target. */
export interface DraftSurroundings {
  readonly target: NamedVocabulary;
  readonly backendName: BackendName;
  readonly backendOptions: BackendOptions;
  readonly backend: Backend;
  /** Memories of the backend that the target is spread over. */
  readonly memories: number;
  readonly budget: Budget;
  readonly contextLength: number;
  readonly maxRows: number;
  readonly cacheType: CacheType;
  readonly cut: NonNullable<PlanOptions['cut']>;
  readonly gaps: ExecutorOptions['gaps'];
}

type DraftLoadOptions = Pick<LoadOptions, 'headers' | 'signal' | 'onProgress' | 'onTrace'>;

/**
 * Throws as `loadEngine` does, and `bad-argument` for a draft with another vocabulary. What it opens is closed by
 * `opened`, to which nothing is added when it fails.
 */
export async function openDraft(
  input: ModelInput,
  surroundings: DraftSurroundings,
  options: DraftLoadOptions,
  opened: Cleanup,
): Promise<DraftParts> {
  const own = new Cleanup();
  try {
    const parts = await openParts(input, surroundings, options, own);
    opened.add(own, (draft) => draft.close());
    return parts;
  } catch (error) {
    await own.close().catch(() => {});
    if (!(error instanceof NearfieldError && error.code === 'out-of-budget')) throw error;
    throw new NearfieldError(error.code, `The draft does not fit: ${error.message}`, { cause: error });
  }
}

async function openParts(
  input: ModelInput,
  surroundings: DraftSurroundings,
  { headers, signal, onProgress, onTrace }: DraftLoadOptions,
  own: Cleanup,
): Promise<DraftParts> {
  const { target, budget, maxRows, cut, gaps } = surroundings;
  // The narrowest kind needs heads of a certain size, which a draft may not have.
  const cacheType = surroundings.cacheType === 'q8_0' ? 'f16' : surroundings.cacheType;
  const checkpoint = own.add(await openCheckpoint(input, { signal, headers }), (file) => file.close());
  const { metadata } = checkpoint;
  expectSharedVocabulary(target, { tokenizer: openTokenizer(metadata), metadata });
  const model = await openModel(checkpoint, signal);
  const trained = model.description.contextLength;
  const contextLength = Math.min(surroundings.contextLength, trained);
  const graph = model.build({
    ...{ maxRows, maxSelected: Math.min(maxRows, selectedRows), contextLength },
  });
  const backend = await backendFor(surroundings, own);
  const plan = makePlan(graph, backend.describe(), {
    cacheType,
    cacheRows: rowsWithRoom(contextLength, trained),
    cut,
  });
  expectOneMemory(plan, backend);
  const cache = own.add(openKvCache({ backend, layout: plan.cache, contextLength, budget }), (pages) =>
    pages.close(),
  );
  const weights = own.add(
    await loadWeights({
      ...{ weights: graph.weights, memoryOf: plan.memoryOf, checkpoint, backend, budget },
      ...(signal ? { signal } : {}),
      onProgress: (progress: Omit<LoadProgress, 'stage'>) => onProgress?.({ stage: 'draft', ...progress }),
    }),
    (packed) => packed.close(),
  );
  const trace = onTrace && ((event: TraceEvent) => onTrace({ ...event, lane: 'draft' }));
  const executor = own.add(
    openExecutor({ backend, plan, weights, cache, budget, gaps, ...(trace ? { onTrace: trace } : {}) }),
    (steps) => steps.close(),
  );
  const repack = async (lost: Backend): Promise<void> => {
    if (lost === backend) await repackWeights(weights, graph.weights, backend, checkpoint);
  };
  return {
    ...{ source: checkpoint.name, description: model.description, contextLength, executor, cache, weights },
    repack,
  };
}

/** A target that fills several memories leaves no room that could be counted on. */
async function backendFor(
  { backend, memories, backendName, backendOptions }: DraftSurroundings,
  own: Cleanup,
): Promise<Backend> {
  if (memories === 1) return backend;
  return own.add(await openBackend(backendName, { ...backendOptions, memories: 1 }), (machine) =>
    machine.close(),
  );
}

function expectOneMemory(plan: Plan, backend: Backend): void {
  if (plan.weightBytes.length === 1 && addressablePages(plan, backend.describe()) >= 1) return;
  throw new NearfieldError(
    'out-of-budget',
    'it takes more than one memory of the backend; use a smaller draft',
  );
}
