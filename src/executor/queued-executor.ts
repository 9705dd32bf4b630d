/** Runs steps one at a time: chunk by chunk, and within a chunk as many passes of the head as the selection needs. */
import type { Backend, Region, StepBlock } from '../backend.ts';
import type { PlanExecutor, RunOptions, Step, StepResult } from '../executor.ts';
import type { CacheMoveRow, KvCache } from '../kv-cache.ts';
import type { Plan } from '../plan.ts';
import type { Weights } from '../weights.ts';
import { AppendedRows } from './appended-rows.ts';
import { checkStep } from './check-step.ts';
import { MoveRunner } from './move-runner.ts';
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
  readonly #parts: ExecutorParts;
  readonly #queue = new TurnQueue();
  readonly #appended = new AppendedRows();
  readonly #results: StepResults;
  readonly #moves: MoveRunner;
  readonly #passes: Passes;
  #closing: Promise<void> | undefined;

  constructor(parts: ExecutorParts) {
    const { backend, plan, runner, block, arena, step, limits } = parts;
    this.#parts = parts;
    this.#passes = new Passes(limits, this.#appended);
    this.#results = new StepResults(backend, plan, arena);
    this.#moves = new MoveRunner(backend, runner, block, step, limits);
    this.vocabularySize = this.#results.vocabularySize;
    this.maxSelected = limits.maxSelected;
    this.maxRows = limits.maxRows;
    this.arenaBytes = parts.arenaBytes;
  }

  /** One frame, and no promise but its own where nothing has to be waited for. */
  async run(step: Step, options: RunOptions = noOptions): Promise<StepResult> {
    const maxLogits = options.onLogits ? Number.POSITIVE_INFINITY : this.maxSelected;
    checkStep(step, { vocabularySize: this.vocabularySize, maxLogits });
    const turn = this.#queue.enter(options.signal);
    if (turn) await turn;
    const appended = this.#appended;
    const lookup = this.#parts.weights.rows;
    try {
      appended.begin(step.rows, this.#parts.cache.contextLength);
      for (let index = 0; index < appended.sequenceCount; index++) {
        const moves = appended.sequence(index).prepareToAppend();
        if (moves.length > 0) await this.#moves.carryOut(moves);
      }
      appended.append(step.rows);
      const run = this.#results.begin(step, options, appended);
      const passes = this.#passes;
      for (passes.begin(step.rows.length, run.wanted); passes.next(); ) {
        const bringing =
          lookup && passes.isFirst && appended.bring(lookup, step.rows, passes, options.signal);
        if (bringing) await bringing;
        const running = this.#submit(run);
        if (running) await running;
        if (passes.count > 0) {
          const reading = this.#results.read(run, passes);
          if (reading) await reading;
          const delivered = this.#results.deliver(run, passes);
          if (delivered) await delivered;
        }
        if (passes.isLastOfChunk) options.onProgress?.(passes.end);
      }
      return run.result;
    } catch (error) {
      appended.rollBack();
      throw error;
    } finally {
      appended.clear();
      this.#queue.leave();
    }
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

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { runner, free } = this.#parts;
    runner.stop();
    await this.#queue.close();
    runner.dispose();
    free();
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
}
