/** Opens a model's weights: all of them resident where the budget holds them, else some streamed from the store. */
import type { Model } from '../architecture.ts';
import type { Backend } from '../backend.ts';
import type { Cleanup } from '../base/cleanup.ts';
import { type Checkpoint, identifyCheckpoint, spoolCheckpoint, steadyCheckpoint } from '../checkpoint.ts';
import type { LoadOptions, LoadProgress, StreamingDescription } from '../engine.ts';
import { workspaceBytes } from '../executor.ts';
import type { CacheType } from '../graph.ts';
import { fullCacheBytes, type KvCache } from '../kv-cache.ts';
import type { Plan } from '../plan.ts';
import { openStore } from '../store.ts';
import { type Budget, loadWeights, type StreamEvent, streamWeights, type Weights } from '../weights.ts';
import type { Machine } from './open-machine.ts';
import { planStream, type StreamPlan } from './plan-stream.ts';

export interface BudgetQuestion extends Pick<LoadOptions, 'contextLength' | 'chunkRows'> {
  readonly model: Model;
  readonly cacheType: CacheType;
  /** Rows of a pass where none are stated. */
  readonly mostRows: number;
  readonly budget: Budget;
  /** Resident already. */
  readonly draft: { readonly cache: Pick<KvCache, 'pageRows' | 'pageBytes'> } | undefined;
}

/** How to stream what the rest of the budget does not hold; undefined where it holds all and a page of the cache. */
export function planForBudget(
  { backend, plan }: Machine,
  { model, cacheType, mostRows, budget, draft, contextLength, chunkRows }: BudgetQuestion,
): StreamPlan | undefined {
  const heldBytes = budget.reservedBytes;
  if (plan) {
    const wholeBytes =
      plan.weightBytes.reduce((sum, bytes) => sum + bytes, 0) +
      workspaceBytes(plan, contextLength ?? model.description.contextLength, backend.drawing !== undefined) +
      fullCacheBytes(plan.cache, 1);
    // Slots lie in one memory: a model that is spread over several is held, or it is refused when it is loaded.
    if (heldBytes + wholeBytes <= budget.limitBytes || plan.weightBytes.length > 1) return undefined;
  }
  const capability = backend.describe();
  return planStream({
    ...{ model, capability, cacheType, contextLength, mostRows, maxRows: chunkRows },
    shares: { limitBytes: Math.min(budget.limitBytes, capability.addressableBytes), heldBytes },
    othersLater: (rows) => (draft ? fullCacheBytes(draft.cache, rows) : 0),
  });
}

export function describeStream({ residency }: StreamPlan): StreamingDescription {
  const { resident, streamed, slots, streamedBytes } = residency;
  return {
    ...{ residentLayers: resident.size, streamedLayers: streamed.length, slots },
    bytesPerPass: streamedBytes,
  };
}

export interface WeightsQuestion {
  readonly checkpoint: Checkpoint;
  readonly backend: Backend;
  readonly budget: Budget;
  readonly plan: Plan;
  readonly stream: StreamPlan | undefined;
}

type Options = Pick<LoadOptions, 'assets' | 'cacheFolder' | 'signal' | 'onProgress' | 'onTrace'>;

/** `opened` closes them. Throws as `loadWeights` and `streamWeights` do. */
export async function openWeights(
  question: WeightsQuestion,
  options: Options,
  opened: Cleanup,
): Promise<Weights> {
  const { checkpoint, backend, budget, plan, stream } = question;
  const { signal, onProgress } = options;
  if (stream) return openStreamed({ ...question, stream }, options, opened);
  const weights = await loadWeights({
    ...{ weights: plan.graph.weights, memoryOf: plan.memoryOf, checkpoint, backend, budget },
    ...(signal ? { signal } : {}),
    onProgress: (progress) => onProgress?.({ stage: 'weights', ...progress }),
  });
  return opened.add(weights, (packed) => packed.close());
}

async function openStreamed(
  { checkpoint, backend, budget, plan, stream }: WeightsQuestion & { readonly stream: StreamPlan },
  { assets, cacheFolder, signal, onProgress, onTrace }: Options,
  opened: Cleanup,
): Promise<Weights> {
  const store = await openStore({ folder: cacheFolder });
  const report = (stage: LoadProgress['stage']) => (progress: Omit<LoadProgress, 'stage'>) =>
    onProgress?.({ stage, ...progress });
  const copy = await spoolCheckpoint(checkpoint, store, { signal, onProgress: report('download') });
  if (copy !== checkpoint) opened.add(copy, (file) => file.close());
  const { packedLayout, programBytes } = backend.describe();
  const identity = await identifyCheckpoint(copy, packedLayout, signal);
  const weights = await streamWeights({
    ...{ residency: stream.residency, checkpoint: await steadyCheckpoint(copy), backend, budget, store },
    sidecarName: `packed-${identity.slice(0, 40)}`,
    readerScript: assets?.readerWorker,
    ...(signal ? { signal } : {}),
    onProgress: report('weights'),
    ...(onTrace ? { onTrace: (event: StreamEvent) => onTrace({ ...event, rows: 0 }) } : {}),
  });
  opened.add(weights, (packed) => packed.close());
  opened.add(budget.reserve(programBytes(plan), 'programs'), (reservation) => reservation.release());
  return weights;
}
