/** A draft model for a target: resident as a whole, on the target's backend where that has one memory, and wherever that goes. */
import { type Model, type ModelDescription, openModel } from '../architecture.ts';
import { type Backend, type BackendName, type BackendOptions, openBackend } from '../backend.ts';
import type { Cleanup } from '../base/cleanup.ts';
import { known, NearfieldError } from '../base/error.ts';
import { type Checkpoint, openCheckpoint } from '../checkpoint.ts';
import type { LoadOptions, LoadProgress, ModelInput } from '../engine.ts';
import { type ExecutorOptions, openExecutor, type PlanExecutor, type TraceEvent } from '../executor.ts';
import type { CacheType, Graph } from '../graph.ts';
import { type KvCache, openKvCache } from '../kv-cache.ts';
import { addressablePages, makePlan, type Plan, type PlanOptions } from '../plan.ts';
import { openTokenizer } from '../tokenizer.ts';
import { type Budget, loadWeights, repackWeights, type Weights } from '../weights.ts';
import { MovableCache } from './movable-cache.ts';
import { MovableExecutor } from './movable-executor.ts';
import { rowsWithRoom } from './open-machine.ts';
import { selectedRows } from './pass-bounds.ts';
import { survivingLoss } from './recovery.ts';
import { expectSharedVocabulary, type NamedVocabulary } from './shared-vocabulary.ts';

/** What a draft takes over from its target, whatever computes. */
export interface DraftQuestion {
  readonly target: NamedVocabulary;
  readonly backendOptions: BackendOptions;
  readonly budget: Budget;
  readonly contextLength: number;
  readonly maxRows: number;
  readonly cacheType: CacheType;
  readonly cut: NonNullable<PlanOptions['cut']>;
  readonly gaps: ExecutorOptions['gaps'];
}

/** What the target is computed by. */
export interface DraftMachine {
  readonly name: BackendName;
  readonly backend: Backend;
  /** Memories of the backend that the target is spread over. */
  readonly memories: number;
}

type DraftLoadOptions = Pick<LoadOptions, 'headers' | 'signal' | 'onProgress' | 'onTrace'>;

interface Placed {
  readonly backend: Backend;
  readonly weights: Weights;
  /** Its sequences stay when it is placed on another machine. */
  readonly cache: MovableCache;
  readonly executor: MovableExecutor;
}

export class Draft {
  readonly description: ModelDescription;
  readonly contextLength: number;
  readonly #checkpoint: Checkpoint;
  readonly #graph: Graph;
  readonly #question: DraftQuestion;
  readonly #options: DraftLoadOptions;
  #placed: Placed | undefined;

  /**
   * Throws as `loadEngine` does, and `bad-argument` for a draft with another vocabulary. What it opens is closed by `opened`.
   * Nothing can be computed before it is placed.
   */
  static async open(
    input: ModelInput,
    question: DraftQuestion,
    options: DraftLoadOptions,
    opened: Cleanup,
  ): Promise<Draft> {
    const { headers, signal } = options;
    const checkpoint = opened.add(await openCheckpoint(input, { signal, headers }), (file) => file.close());
    const { metadata } = checkpoint;
    expectSharedVocabulary(question.target, { tokenizer: openTokenizer(metadata), metadata });
    return new Draft(checkpoint, await openModel(checkpoint, signal), question, options);
  }

  private constructor(
    checkpoint: Checkpoint,
    model: Model,
    question: DraftQuestion,
    options: DraftLoadOptions,
  ) {
    const { maxRows, contextLength } = question;
    this.#checkpoint = checkpoint;
    this.#question = question;
    this.#options = options;
    this.description = model.description;
    this.contextLength = Math.min(contextLength, model.description.contextLength);
    this.#graph = model.build({
      ...{ maxRows, maxSelected: Math.min(maxRows, selectedRows), contextLength: this.contextLength },
    });
  }

  /** File name or URL. */
  get source(): string {
    return this.#checkpoint.name;
  }

  get cache(): KvCache {
    return this.#present.cache;
  }

  get executor(): PlanExecutor {
    return this.#present.executor;
  }

  get weights(): Weights {
    return this.#present.weights;
  }

  /**
   * Loads it for the machine that computes the target from now on; `held` closes what is loaded. Where it was placed before,
   * that is closed by then, and its sequences go on with rows that have to be computed again.
   */
  async place(machine: DraftMachine, held: Cleanup): Promise<void> {
    try {
      await this.#place(machine, held);
    } catch (error) {
      if (!(error instanceof NearfieldError && error.code === 'out-of-budget')) throw error;
      throw new NearfieldError(error.code, `The draft does not fit: ${error.message}`, { cause: error });
    }
  }

  /** Packs the weights again where this machine, which was lost, holds them. */
  async repack(lost: Backend): Promise<void> {
    const { backend, weights } = this.#present;
    if (lost === backend) await repackWeights(weights, this.#graph.weights, backend, this.#checkpoint);
  }

  get #present(): Placed {
    return known(this.#placed, 'machine of the draft');
  }

  async #place(machine: DraftMachine, held: Cleanup): Promise<void> {
    const { contextLength } = this;
    const { budget, cut, gaps, backendOptions } = this.#question;
    const { signal, onProgress, onTrace } = this.#options;
    // The narrowest kind needs heads of a certain size, which a draft may not have.
    const cacheType = this.#question.cacheType === 'q8_0' ? 'f16' : this.#question.cacheType;
    const backend = await backendFor(machine, backendOptions, held);
    const plan = makePlan(this.#graph, backend.describe(), {
      cacheType,
      cacheRows: rowsWithRoom(contextLength, this.description.contextLength),
      cut,
    });
    expectOneMemory(plan, backend);
    const cache = held.add(openKvCache({ backend, layout: plan.cache, contextLength, budget }), (pages) =>
      pages.close(),
    );
    backend.expect?.(plan);
    const toLoad = {
      ...{ weights: this.#graph.weights, memoryOf: plan.memoryOf, checkpoint: this.#checkpoint },
      ...{ backend, budget, ...(signal ? { signal } : {}) },
      onProgress: (progress: Omit<LoadProgress, 'stage'>) => onProgress?.({ stage: 'draft', ...progress }),
    };
    const weights = held.add(await survivingLoss(backend, () => loadWeights(toLoad)), (packed) =>
      packed.close(),
    );
    const trace = onTrace && ((event: TraceEvent) => onTrace({ ...event, lane: 'draft' }));
    const executor = held.add(
      openExecutor({ backend, plan, weights, cache, budget, gaps, ...(trace ? { onTrace: trace } : {}) }),
      (steps) => steps.close(),
    );
    const before = this.#placed;
    before?.cache.moveTo(cache);
    before?.executor.moveTo(executor);
    this.#placed = {
      ...{ backend, weights, cache: before?.cache ?? new MovableCache(cache) },
      executor: before?.executor ?? new MovableExecutor(executor),
    };
  }
}

/** A target that fills several memories leaves no room that could be counted on. */
async function backendFor(
  { name, backend, memories }: DraftMachine,
  options: BackendOptions,
  held: Cleanup,
): Promise<Backend> {
  if (memories === 1) return backend;
  return held.add(await openBackend(name, { ...options, memories: 1 }), (own) => own.close());
}

function expectOneMemory(plan: Plan, backend: Backend): void {
  if (plan.weightBytes.length === 1 && addressablePages(plan, backend.describe()) >= 1) return;
  throw new NearfieldError(
    'out-of-budget',
    'it takes more than one memory of the backend; use a smaller draft',
  );
}
