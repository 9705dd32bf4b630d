/** Runs steps one at a time: chunk by chunk, and within a chunk as many passes of the head as the selection needs. */
import type { Backend, DrawRule, DrawShape, Region, StepBlock } from '../backend.ts';
import { known } from '../base/error.ts';
import type { DrawQueue, PlanExecutor, RunOptions, Step, StepResult } from '../executor.ts';
import type { Value } from '../graph.ts';
import type { CacheMoveRow, KvCache, Sequence } from '../kv-cache.ts';
import type { Plan } from '../plan.ts';
import type { Weights } from '../weights.ts';
import { AppendedRows } from './appended-rows.ts';
import { checkStep } from './check-step.ts';
import { Draws } from './draw-queue.ts';
import { MoveRunner } from './move-runner.ts';
import type { Pace } from './pace.ts';
import { Passes } from './passes.ts';
import type { StageRunner } from './stage-runner.ts';
import { type RunningStep, StepResults } from './step-results.ts';
import { TurnQueue } from './turn-queue.ts';

export interface ExecutorParts {
  readonly backend: Backend;
  readonly plan: Plan;
  readonly cache: KvCache;
  readonly weights: Weights;
  readonly runner: StageRunner;
  readonly block: StepBlock;
  readonly arena: Region;
  readonly step: Region;
  readonly limits: {
    readonly maxRows: number;
    readonly maxSelected: number;
    readonly maxSequences: number;
    readonly maxMoves: number;
  };
  readonly arenaBytes: number;
  /** Whether the machine draws tokens, and the region of the step has room for it. */
  readonly draws: boolean;
  readonly pace: Pace | undefined;
  /** Releases the regions and their reservation. */
  readonly free: () => void;
}

const noOptions: RunOptions = Object.freeze({});

/** Stages of the first pass over a chunk, and of further ones over its hidden rows, by what is wanted. */
const stages = {
  nothing: { first: ['body'], again: [] },
  logits: { first: ['body', 'head'], again: ['head'] },
  argmax: { first: ['body', 'head', 'argmax'], again: ['head', 'argmax'] },
} as const;

export class QueuedExecutor implements PlanExecutor {
  readonly vocabularySize: number;
  readonly maxSelected: number;
  readonly maxRows: number;
  readonly arenaBytes: number;
  readonly draws: boolean;
  readonly #parts: ExecutorParts;
  readonly #queue = new TurnQueue();
  readonly #appended = new AppendedRows();
  readonly #results: StepResults;
  readonly #moves: MoveRunner;
  readonly #passes: Passes;
  readonly #draws: Draws | undefined;
  #running: RunningStep | undefined;
  /** The programs of the present pass, whose results are yet to be taken. */
  #isSubmitted = false;
  #closing: Promise<void> | undefined;

  constructor(parts: ExecutorParts) {
    const { backend, plan, runner, block, arena, step, limits } = parts;
    this.#parts = parts;
    this.#passes = new Passes(limits, this.#appended);
    this.#results = new StepResults(backend, plan, arena);
    this.#moves = new MoveRunner(backend, runner, block, step, limits);
    this.draws = parts.draws;
    this.#draws = parts.draws ? new Draws(parts, this.#queue) : undefined;
    this.vocabularySize = this.#results.vocabularySize;
    this.maxSelected = limits.maxSelected;
    this.maxRows = limits.maxRows;
    this.arenaBytes = parts.arenaBytes;
  }

  /** Frames and promises are made only where something is waited for: a step of short programs has run when this returns. */
  run(step: Step, options: RunOptions = noOptions): Promise<StepResult> {
    try {
      checkStep(step, {
        vocabularySize: this.vocabularySize,
        positionCount: this.#parts.plan.graph.positionCount,
        maxLogits: options.onLogits ? Number.POSITIVE_INFINITY : this.maxSelected,
      });
      const turn = this.#queue.enter(options.signal);
      return turn ? this.#runAfter(turn, step, options) : this.#runNow(step, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async #runAfter(turn: Promise<void>, step: Step, options: RunOptions): Promise<StepResult> {
    await turn;
    return this.#runNow(step, options);
  }

  #runNow(step: Step, options: RunOptions): Promise<StepResult> {
    let waiting: Promise<void> | undefined;
    try {
      this.#appended.begin(step.rows, this.#parts.cache.contextLength);
      if (this.#needsMoves()) {
        waiting = this.#moveRows(step, options);
      } else {
        this.#append(step, options);
        waiting = this.#compute();
      }
    } catch (error) {
      return Promise.reject(this.#undo(error, options.signal));
    }
    return waiting ? this.#goOn(waiting, options.signal) : Promise.resolve(this.#end());
  }

  async #goOn(waiting: Promise<void>, signal: AbortSignal | undefined): Promise<StepResult> {
    try {
      for (let next: Promise<void> | undefined = waiting; next; next = this.#compute()) await next;
      this.#parts.runner.throwIfStopped(signal);
    } catch (error) {
      throw this.#undo(error, signal);
    }
    return this.#end();
  }

  /** Whether a sequence must have rows copied before it grows. */
  #needsMoves(): boolean {
    const appended = this.#appended;
    for (let index = 0; index < appended.sequenceCount; index++) {
      if (appended.sequence(index).prepareToAppend().length > 0) return true;
    }
    return false;
  }

  async #moveRows(step: Step, options: RunOptions): Promise<void> {
    const appended = this.#appended;
    for (let index = 0; index < appended.sequenceCount; index++) {
      await this.#moves.carryOut(appended.sequence(index).prepareToAppend());
    }
    this.#append(step, options);
  }

  #append(step: Step, options: RunOptions): void {
    this.#appended.append(step.rows);
    this.#running = this.#results.begin(step, options, this.#appended);
    this.#passes.begin(step.rows.length, this.#running.wanted);
  }

  #end(): StepResult {
    const { result } = known(this.#running, 'step under way');
    this.#leave();
    return result;
  }

  /** Returns what went wrong, in the caller's words where he stopped it. */
  #undo(error: unknown, signal: AbortSignal | undefined): unknown {
    this.#appended.rollBack();
    this.#leave();
    try {
      this.#parts.runner.throwIfStopped(signal);
    } catch (stopped) {
      return stopped;
    }
    return error;
  }

  #leave(): void {
    this.#running = undefined;
    this.#isSubmitted = false;
    this.#appended.clear();
    this.#queue.leave();
  }

  move(moves: readonly CacheMoveRow[]): Promise<void> | undefined {
    return moves.length === 0 ? undefined : this.#move(moves);
  }

  async #move(moves: readonly CacheMoveRow[]): Promise<void> {
    const turn = this.#queue.enter(undefined);
    if (turn) await turn;
    try {
      await this.#moves.carryOut(moves);
    } finally {
      this.#queue.leave();
    }
  }

  openDraws(sequence: Sequence, rule: DrawRule, shape: DrawShape): DrawQueue | undefined {
    return this.#draws?.open(sequence, rule, shape);
  }

  observed(value: Value): Promise<Float32Array | Float64Array> {
    return this.#results.observed(value, this.#passes.symbols);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { runner, free } = this.#parts;
    runner.stop();
    await Promise.all([this.#draws?.close(), this.#queue.close()]);
    runner.dispose();
    free();
  }

  /** Pass after pass of the step under way, until something has to be waited for; it goes on from there. */
  #compute(): Promise<void> | undefined {
    const run = known(this.#running, 'step under way');
    for (;;) {
      if (this.#isSubmitted) {
        this.#isSubmitted = false;
        const taking = this.#take(run);
        if (taking) return taking;
      }
      if (!this.#passes.next()) return undefined;
      const bringing = this.#bring(run);
      const submitted = bringing ? this.#submitAfter(bringing, run) : this.#submit(run);
      this.#isSubmitted = true;
      if (submitted) return submitted;
    }
  }

  /** Rows of tables that lie elsewhere. */
  #bring({ step, options }: RunningStep): Promise<void> | undefined {
    const { rows } = this.#parts.weights;
    if (!rows || !this.#passes.isFirst) return undefined;
    return this.#appended.bring(rows, step.rows, this.#passes, options.signal);
  }

  async #submitAfter(bringing: Promise<void>, run: RunningStep): Promise<void> {
    await bringing;
    await this.#submit(run);
  }

  /** The programs of the pass; undefined where they have run already. */
  #submit({ step, options }: RunningStep): Promise<void> | undefined {
    const { backend, block, step: region, runner, weights } = this.#parts;
    const { start, end, symbols, isFirst } = this.#passes;
    block.clear();
    this.#appended.addTo(block, step.rows, start, end, weights.rows);
    for (let entry = 0; entry < symbols[1]; entry++) block.select(this.#passes.selectedRow(entry) - start);
    backend.write(region, 0, block.bytes);
    const { first, again } = stages[symbols[1] === 0 ? 'nothing' : step.select.kind];
    return runner.run(isFirst ? first : again, symbols, options.signal);
  }

  /** Reads what the pass gave. */
  #take(run: RunningStep): Promise<void> | undefined {
    const passes = this.#passes;
    const waiting = passes.count > 0 ? this.#results.take(run, passes) : undefined;
    if (waiting) return this.#progressAfter(waiting, run);
    this.#progress(run);
    return undefined;
  }

  async #progressAfter(waiting: Promise<void>, run: RunningStep): Promise<void> {
    await waiting;
    this.#progress(run);
  }

  #progress({ options }: RunningStep): void {
    if (this.#passes.isLastOfChunk) options.onProgress?.(this.#passes.end);
  }
}
