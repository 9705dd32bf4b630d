/** The programs of a plan, by stage: submits those that a pass needs, one behind the other, and waits for them. */
import {
  type Backend,
  type Bindings,
  type PackedWeight,
  type Program,
  type Region,
  Ticket,
} from '../backend.ts';
import { known, NearfieldError, throwIfAborted } from '../base/error.ts';
import type { TraceEvent } from '../executor.ts';
import type { Stage } from '../graph.ts';
import type { Plan } from '../plan.ts';
import type { Weights } from '../weights.ts';
import type { Pace } from './pace.ts';
import { closedError } from './turn-queue.ts';

interface Prepared {
  readonly program: Program;
  /** Of the latest submit; made anew only when the weights lie elsewhere. */
  bindings: Bindings;
}

export interface StageRunnerOptions {
  readonly backend: Backend;
  readonly plan: Plan;
  readonly weights: Weights;
  readonly arena: Region;
  readonly step: Region;
  readonly onTrace: ((event: TraceEvent) => void) | undefined;
  readonly pace: Pace | undefined;
}

export class StageRunner {
  readonly #options: StageRunnerOptions;
  readonly #byStage = new Map<Stage, Prepared[]>();
  /** Of the lists of stages that were run. */
  readonly #byStages = new Map<readonly Stage[], readonly Prepared[]>();
  readonly #ticket = new Ticket();
  readonly #cancel = (): void => {
    this.#ticket.cancel();
    this.#options.weights.abandon();
  };
  #stopped = false;

  constructor(options: StageRunnerOptions) {
    const { backend, plan, arena, step } = options;
    this.#options = options;
    try {
      for (const segment of plan.segments) {
        const prepared = {
          program: backend.prepare(segment, plan),
          bindings: { arena, step, weights: [] },
        };
        const list = this.#byStage.get(segment.stage);
        if (list) list.push(prepared);
        else this.#byStage.set(segment.stage, [prepared]);
      }
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /**
   * Undefined when everything has run already. Else `symbols` must stay as they are until it settles; nothing is under way
   * then, whether it resolved or rejected.
   */
  run(
    stages: readonly Stage[],
    symbols: readonly number[],
    signal: AbortSignal | undefined,
  ): Promise<void> | undefined {
    this.#throwIfStopped(signal);
    let waiting: Promise<void> | undefined;
    try {
      waiting = this.#submitAll(this.#programsOf(stages), symbols, signal);
    } catch (error) {
      this.#ticket.fail(error);
    }
    waiting ??= this.#ticket.settled();
    return waiting && this.#wait(waiting, signal);
  }

  async #wait(submitting: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
    signal?.addEventListener('abort', this.#cancel);
    try {
      await submitting;
      await this.#ticket.settled();
      this.#throwIfStopped(signal);
    } catch (error) {
      this.#ticket.cancel();
      await this.#ticket.settled()?.catch(() => {});
      this.#throwIfStopped(signal);
      throw error;
    } finally {
      signal?.removeEventListener('abort', this.#cancel);
    }
  }

  /** Stops what runs, for good. */
  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  /** Nothing may be in flight. */
  dispose(): void {
    for (const list of this.#byStage.values()) for (const { program } of list) program.dispose();
    this.#byStage.clear();
    this.#byStages.clear();
  }

  #programsOf(stages: readonly Stage[]): readonly Prepared[] {
    const before = this.#byStages.get(stages);
    if (before) return before;
    const programs = stages.flatMap((stage) => this.#byStage.get(stage) ?? []);
    this.#byStages.set(stages, programs);
    return programs;
  }

  /** A promise where something must be waited for between submits. */
  #submitAll(
    programs: readonly Prepared[],
    symbols: readonly number[],
    signal: AbortSignal | undefined,
  ): Promise<void> | undefined {
    const { weights, onTrace, pace } = this.#options;
    if (weights.isStreamed || onTrace || pace) return this.#submitInTurn(programs, symbols, signal);
    for (let index = 0; index < programs.length; index++) {
      const prepared = known(programs[index], 'program');
      const bound = weights.bind(prepared.program.segment);
      if (bound instanceof Promise) throw new NearfieldError('internal', 'Resident weights come at once');
      this.#submit(prepared, bound, symbols);
    }
    return undefined;
  }

  /** One when the one before has run: its weights then make room for others, its time is known, a gap may follow. */
  async #submitInTurn(
    programs: readonly Prepared[],
    symbols: readonly number[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { weights, onTrace, pace } = this.#options;
    for (const prepared of programs) {
      const { segment } = prepared.program;
      const bound = weights.bind(segment);
      const packed = bound instanceof Promise ? await bound : bound;
      try {
        await pace?.gap();
        this.#throwIfStopped(signal);
        const startMs = performance.now();
        this.#submit(prepared, packed, symbols);
        await this.#ticket.settled();
        const durationMs = performance.now() - startMs;
        pace?.worked(durationMs);
        onTrace?.({ name: segment.stage, startMs, durationMs, rows: symbols[0] ?? 0 });
      } finally {
        weights.release(segment);
      }
    }
  }

  #submit(prepared: Prepared, weights: readonly PackedWeight[], symbols: readonly number[]): void {
    const { backend, arena, step } = this.#options;
    if (prepared.bindings.weights !== weights) prepared.bindings = { arena, step, weights };
    backend.submit(prepared.program, prepared.bindings, symbols, this.#ticket);
  }

  #throwIfStopped(signal: AbortSignal | undefined): void {
    if (this.#stopped) throw closedError();
    throwIfAborted(signal);
  }
}
