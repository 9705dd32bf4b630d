/** The programs of a plan, by stage: submits those that a pass needs, one behind the other, and waits for them. */
import type { Backend, Bindings, PackedWeight, Program, Region, Ticket } from '../backend.ts';
import { known, throwIfAborted } from '../base/error.ts';
import type { TraceEvent } from '../executor.ts';
import type { Stage } from '../graph.ts';
import type { Plan } from '../plan.ts';
import type { Weights } from '../weights.ts';
import { TicketLatch } from './ticket-latch.ts';
import { closedError } from './turn-queue.ts';

interface Prepared {
  readonly program: Program;
  /** Of the latest submit; made anew only when the weights lie elsewhere. */
  bindings: Bindings;
}

const none: readonly Prepared[] = Object.freeze([]);

export interface StageRunnerOptions {
  readonly backend: Backend;
  readonly plan: Plan;
  readonly weights: Weights;
  readonly arena: Region;
  readonly step: Region;
  readonly onTrace: ((event: TraceEvent) => void) | undefined;
}

export class StageRunner {
  readonly #options: StageRunnerOptions;
  readonly #byStage = new Map<Stage, Prepared[]>();
  readonly #latch = new TicketLatch();
  readonly #cancel = (): void => this.#latch.cancel();
  #stopped = false;
  #traceEndMs = 0;

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

  /** `symbols` must stay as they are until it settles; nothing is in flight then, whether it resolved or rejected. */
  async run(
    stages: readonly Stage[],
    symbols: readonly number[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    this.#throwIfStopped(signal);
    signal?.addEventListener('abort', this.#cancel);
    try {
      for (let stage = 0; stage < stages.length; stage++) {
        const list = this.#byStage.get(known(stages[stage], 'stage')) ?? none;
        for (let index = 0; index < list.length; index++) {
          const prepared = known(list[index], 'program');
          const bound = this.#options.weights.bind(prepared.program.segment);
          if (bound instanceof Promise) {
            this.#submit(prepared, await bound, symbols, signal);
          } else {
            this.#submit(prepared, bound, symbols, signal);
          }
        }
      }
      await this.#latch.settled();
      this.#throwIfStopped(signal);
    } catch (error) {
      this.#latch.cancel();
      await this.#latch.settled().catch(() => {});
      this.#throwIfStopped(signal);
      throw error;
    } finally {
      signal?.removeEventListener('abort', this.#cancel);
    }
  }

  /** Stops what runs, for good. */
  stop(): void {
    this.#stopped = true;
    this.#latch.cancel();
  }

  /** Nothing may be in flight. */
  dispose(): void {
    for (const list of this.#byStage.values()) for (const { program } of list) program.dispose();
    this.#byStage.clear();
  }

  #submit(
    prepared: Prepared,
    weights: readonly PackedWeight[],
    symbols: readonly number[],
    signal: AbortSignal | undefined,
  ): void {
    this.#throwIfStopped(signal);
    const { backend, arena, step, onTrace } = this.#options;
    if (prepared.bindings.weights !== weights) prepared.bindings = { arena, step, weights };
    const ticket = backend.submit(prepared.program, prepared.bindings, symbols);
    this.#latch.watch(ticket);
    if (onTrace) this.#trace(onTrace, ticket, prepared.program.segment.stage, symbols[0] ?? 0);
  }

  #trace(onTrace: (event: TraceEvent) => void, ticket: Ticket, name: string, rows: number): void {
    const submitMs = performance.now();
    const report = (): void => {
      const endMs = performance.now();
      const startMs = Math.max(submitMs, this.#traceEndMs);
      this.#traceEndMs = endMs;
      onTrace({ name, startMs, durationMs: endMs - startMs, rows });
    };
    ticket.done.then(report).catch(() => {});
  }

  #throwIfStopped(signal: AbortSignal | undefined): void {
    if (this.#stopped) throw closedError();
    throwIfAborted(signal);
  }
}
