/** What runs an engine's model at present: on a machine that may be lost, and then on the one that takes over from it. */
import type { Backend, BackendName } from '../backend.ts';
import { Cleanup } from '../base/cleanup.ts';
import type { MachineReport } from '../engine.ts';
import type { PlanExecutor } from '../executor.ts';
import type { KvCache } from '../kv-cache.ts';
import { MovableCache } from './movable-cache.ts';
import { MovableExecutor } from './movable-executor.ts';
import type { ModelParts } from './open-parts.ts';

/** Another machine for the same model, opened when it is needed. */
export interface StandIn {
  readonly name: BackendName;
  /** `opened` closes what it opens. */
  open(contextLength: number | undefined, opened: Cleanup): Promise<ModelParts>;
}

interface FirstMachine {
  readonly name: BackendName;
  readonly backend: Backend;
  open(opened: Cleanup): Promise<ModelParts>;
}

export class PresentParts {
  #name: BackendName;
  #parts: ModelParts;
  readonly #opened: Cleanup;
  readonly #standIn: StandIn | undefined;
  readonly #remarks: string[] = [];
  readonly #cache: MovableCache | undefined;
  readonly #executor: MovableExecutor | undefined;

  /** A machine that is lost while the model is loaded is taken over from, too. Throws as `loadEngine` does. */
  static async open(first: FirstMachine, standIn: StandIn | undefined): Promise<PresentParts> {
    const opened = new Cleanup();
    try {
      return new PresentParts(first.name, await first.open(opened), opened, standIn);
    } catch (error) {
      await opened.close().catch(() => {});
      if (!standIn || first.backend.isLost !== true) throw error;
      const remarks = remarksOf(first.backend);
      await first.backend.close();
      const present = new PresentParts(
        standIn.name,
        await standIn.open(undefined, opened),
        opened,
        undefined,
      );
      present.#remarks.push(
        ...remarks,
        tookOver(standIn, error instanceof Error ? error.message : `${error}`),
      );
      return present;
    }
  }

  private constructor(name: BackendName, parts: ModelParts, opened: Cleanup, standIn: StandIn | undefined) {
    this.#name = name;
    this.#parts = parts;
    this.#opened = opened;
    this.#standIn = standIn;
    if (!standIn) return;
    this.#cache = new MovableCache(parts.cache);
    this.#executor = new MovableExecutor(parts.executor);
  }

  get name(): BackendName {
    return this.#name;
  }

  get parts(): ModelParts {
    return this.#parts;
  }

  /** The same whichever machine computes. */
  get cache(): KvCache {
    return this.#cache ?? this.#parts.cache;
  }

  get executor(): PlanExecutor {
    return this.#executor ?? this.#parts.executor;
  }

  report(): MachineReport {
    return { backend: this.#name, remarks: [...this.#remarks, ...remarksOf(this.#parts.backend)] };
  }

  /** Undefined where there is nothing to take over. */
  get takeOver(): ((reason: string) => Promise<void>) | undefined {
    const standIn = this.#standIn;
    return standIn && ((reason) => this.#takeOver(standIn, reason));
  }

  close(): Promise<void> {
    return this.#opened.close();
  }

  async #takeOver(standIn: StandIn, reason: string): Promise<void> {
    const { backend, contextLength } = this.#parts;
    const remarks = remarksOf(backend);
    // Of a machine that is gone; what it still says is of no interest.
    await this.#opened.close().catch(() => {});
    await backend.close().catch(() => {});
    const parts = await standIn.open(contextLength, this.#opened);
    this.#cache?.moveTo(parts.cache);
    this.#executor?.moveTo(parts.executor);
    this.#parts = parts;
    this.#name = standIn.name;
    this.#remarks.push(...remarks, tookOver(standIn, reason));
  }
}

const remarksOf = (backend: Backend): readonly string[] => backend.remarks?.() ?? [];

const tookOver = ({ name }: StandIn, reason: string): string => `${name} took over: ${reason}`;
