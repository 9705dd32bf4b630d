/** A session's way to the executor: while the session is paused its steps wait, and those of other sessions go on. */
import type { DrawRule, DrawShape } from '../backend.ts';
import { NearfieldError } from '../base/error.ts';
import type { DrawQueue, Executor, PlanExecutor, RunOptions, Step, StepResult } from '../executor.ts';
import type { CacheMoveRow, Sequence } from '../kv-cache.ts';
import { GuardedDraws } from './guarded-draws.ts';

/** What sessions need of an engine's executor. */
export type SessionExecutor = Executor & Pick<PlanExecutor, 'maxRows'>;

/**
 * How long a step under way may go on after `pause`. A longer one, of a large model's prompt, is cancelled then and run
 * again after `resume`: steps leave no trace when they are cancelled.
 */
const graceMs = 50;

/** Runs one step at a time, as a session does. */
export class PausableExecutor implements SessionExecutor {
  readonly vocabularySize: number;
  readonly maxSelected: number;
  readonly maxRows: number;
  readonly draws: boolean;
  readonly #executor: SessionExecutor;
  #isPaused = false;
  /** Ends the step under way once its grace is over; another one after each resume that it was used before. */
  #cut = new AbortController();
  #grace: ReturnType<typeof setTimeout> | undefined;
  /** The caller's signal and `#cut`'s as one, kept from step to step. */
  #joined: { readonly caller: AbortSignal | undefined; readonly signal: AbortSignal } | undefined;
  #isRunning = false;
  /** The latest that were opened. */
  #draws: GuardedDraws | undefined;
  /** Those who wait for the end of the step under way, or for `resume`. */
  readonly #waiting = new Set<() => void>();

  constructor(executor: SessionExecutor) {
    this.#executor = executor;
    this.vocabularySize = executor.vocabularySize;
    this.maxSelected = executor.maxSelected;
    this.maxRows = executor.maxRows;
    this.draws = executor.draws === true;
  }

  /** Resolves when nothing is computed any more: within about 100 ms. */
  async pause(): Promise<void> {
    if (!this.#isPaused && this.#isRunning) this.#grace = setTimeout(() => this.#cut.abort(), graceMs);
    this.#isPaused = true;
    if (this.#draws) await this.#draws.quiet(graceMs);
    while (this.#isPaused && this.#isRunning) await this.#change(undefined);
  }

  resume(): void {
    clearTimeout(this.#grace);
    this.#isPaused = false;
    if (this.#cut.signal.aborted) {
      this.#cut = new AbortController();
      this.#joined = undefined;
    }
    this.#wake();
  }

  async run(step: Step, options: RunOptions = {}): Promise<StepResult> {
    for (;;) {
      while (this.#isPaused && !options.signal?.aborted) await this.#change(options.signal);
      const { signal: cut } = this.#cut;
      this.#isRunning = true;
      try {
        return await this.#executor.run(step, { ...options, signal: this.#join(options.signal) });
      } catch (error) {
        const isCut = cut.aborted && error instanceof NearfieldError && error.code === 'aborted';
        if (!isCut || options.signal?.aborted) throw error;
      } finally {
        this.#isRunning = false;
        clearTimeout(this.#grace);
        if (this.#isPaused) this.#wake();
      }
    }
  }

  move(moves: readonly CacheMoveRow[]): Promise<void> | undefined {
    return this.#executor.move(moves);
  }

  /** Rows wait for `resume` before they are queued. */
  openDraws(sequence: Sequence, rule: DrawRule, shape: DrawShape): DrawQueue | undefined {
    const queue = this.#executor.openDraws?.(sequence, rule, shape);
    const mayQueue = async (signal: AbortSignal | undefined): Promise<boolean> => {
      while (this.#isPaused && !signal?.aborted) await this.#change(signal);
      return true;
    };
    this.#draws = queue && new GuardedDraws(queue, { mayQueue, isValid: () => true });
    return this.#draws;
  }

  /** The executor behind it is the engine's to close. */
  close(): void {
    this.resume();
  }

  #join(caller: AbortSignal | undefined): AbortSignal {
    if (this.#joined?.caller !== caller || !this.#joined) {
      const signals = caller ? [caller, this.#cut.signal] : [this.#cut.signal];
      this.#joined = { caller, signal: AbortSignal.any(signals) };
    }
    return this.#joined.signal;
  }

  /** Resolves when a step has ended, on `resume`, and when the signal fires. */
  async #change(signal: AbortSignal | undefined): Promise<void> {
    let wake = (): void => {};
    const woken = new Promise<void>((resolve) => {
      wake = resolve;
    });
    this.#waiting.add(wake);
    signal?.addEventListener('abort', wake);
    await woken;
    signal?.removeEventListener('abort', wake);
    this.#waiting.delete(wake);
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }
}
