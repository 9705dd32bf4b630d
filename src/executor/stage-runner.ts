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
  /** Whether programs are submitted in turn at present. */
  #isSubmitting = false;
  /** Of the latest run, and the one that is listened to. */
  #signal: AbortSignal | undefined;
  #heard: AbortSignal | undefined;
  readonly #onAbort = (): void => {
    if (this.#signal?.aborted) this.#cancel();
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
   * Undefined when everything has run already and the event loop has turned of late. Else `symbols` must stay as they are
   * until it settles; nothing is under way then, whether it resolved or rejected. Ask `throwIfStopped` afterwards.
   */
  run(
    stages: readonly Stage[],
    symbols: readonly number[],
    signal: AbortSignal | undefined,
  ): Promise<void> | undefined {
    this.throwIfStopped(signal);
    this.#listenTo(signal);
    const { weights, onTrace, pace } = this.#options;
    if (weights.isStreamed || onTrace || pace) {
      return this.#runInTurn(this.#programsOf(stages), symbols, signal);
    }
    this.submit(stages, symbols, this.#ticket);
    return this.#ticket.settled();
  }

  /** All at once; a failure is the ticket's. Weights are resident. */
  submit(stages: readonly Stage[], symbols: readonly number[], ticket: Ticket): void {
    const programs = this.#programsOf(stages);
    try {
      for (let index = 0; index < programs.length; index++) {
        const prepared = known(programs[index], 'program');
        const bound = this.#options.weights.bind(prepared.program.segment);
        if (bound instanceof Promise) throw new NearfieldError('internal', 'Resident weights come at once');
        this.#submit(prepared, bound, symbols, ticket);
      }
    } catch (error) {
      ticket.fail(error);
    }
  }

  /** Throws `aborted` after `stop`, or where the signal says so. */
  throwIfStopped(signal: AbortSignal | undefined): void {
    if (this.#stopped) throw closedError();
    throwIfAborted(signal);
  }

  /** The listener stays with a signal from step to step: to add and remove it is garbage. */
  #listenTo(signal: AbortSignal | undefined): void {
    this.#signal = signal;
    if (!signal || signal === this.#heard) return;
    this.#heard?.removeEventListener('abort', this.#onAbort);
    this.#heard = signal;
    signal.addEventListener('abort', this.#onAbort);
  }

  /** Stops what runs, for good. */
  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  #cancel(): void {
    this.#ticket.cancel();
    if (this.#isSubmitting) this.#options.weights.abandon();
  }

  /** Nothing may be in flight. */
  dispose(): void {
    this.#heard?.removeEventListener('abort', this.#onAbort);
    for (const list of this.#byStage.values()) for (const { program } of list) program.dispose();
    this.#byStage.clear();
    this.#byStages.clear();
  }

  #programsOf(stages: readonly Stage[]): readonly Prepared[] {
    return this.#byStages.get(stages) ?? this.#collect(stages);
  }

  #collect(stages: readonly Stage[]): readonly Prepared[] {
    const programs = stages.flatMap((stage) => this.#byStage.get(stage) ?? []);
    this.#byStages.set(stages, programs);
    return programs;
  }

  async #runInTurn(
    programs: readonly Prepared[],
    symbols: readonly number[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    this.#isSubmitting = true;
    try {
      await this.#submitInTurn(programs, symbols, signal);
    } catch (error) {
      this.#ticket.fail(error);
    } finally {
      this.#isSubmitting = false;
    }
    await this.#ticket.settled();
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
        this.throwIfStopped(signal);
        const startMs = performance.now();
        this.#submit(prepared, packed, symbols, this.#ticket);
        await this.#ticket.settled();
        const durationMs = performance.now() - startMs;
        pace?.worked(durationMs);
        onTrace?.({ name: segment.stage, startMs, durationMs, rows: symbols[0] ?? 0 });
      } finally {
        weights.release(segment);
      }
    }
  }

  #submit(
    prepared: Prepared,
    weights: readonly PackedWeight[],
    symbols: readonly number[],
    ticket: Ticket,
  ): void {
    const { backend, arena, step } = this.#options;
    if (prepared.bindings.weights !== weights) prepared.bindings = { arena, step, weights };
    backend.submit(prepared.program, prepared.bindings, symbols, ticket);
  }
}
