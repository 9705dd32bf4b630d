/** Runs steps one at a time: chunk by chunk, and within a chunk as many passes of the head as the selection needs. */
import type { Backend, Region, StepBlock } from '../backend.ts';
import type { PlanExecutor, RunOptions, Step, StepResult } from '../executor.ts';
import type { CacheMoveRow, KvCache } from '../kv-cache.ts';
import type { Plan } from '../plan.ts';
import { AppendedRows } from './appended-rows.ts';
import { checkStep } from './check-step.ts';
import { MoveRunner } from './move-runner.ts';
import type { StageRunner } from './stage-runner.ts';
import { type RunningStep, StepResults } from './step-results.ts';
import { TurnQueue } from './turn-queue.ts';

export interface ExecutorParts {
  readonly backend: Backend;
  readonly plan: Plan;
  readonly cache: KvCache;
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
  /** T and R of the pass under way. */
  readonly #symbols = [0, 0];
  #closing: Promise<void> | undefined;

  constructor(parts: ExecutorParts) {
    const { backend, plan, runner, block, arena, step, limits } = parts;
    this.#parts = parts;
    this.#results = new StepResults(backend, plan, arena);
    this.#moves = new MoveRunner(backend, runner, block, step, limits);
    this.vocabularySize = this.#results.vocabularySize;
    this.maxSelected = limits.maxSelected;
    this.maxRows = limits.maxRows;
    this.arenaBytes = parts.arenaBytes;
  }

  async run(step: Step, options: RunOptions = {}): Promise<StepResult> {
    const maxLogits = options.onLogits ? Number.POSITIVE_INFINITY : this.maxSelected;
    checkStep(step, { vocabularySize: this.vocabularySize, maxLogits });
    const turn = this.#queue.enter(options.signal);
    if (turn) await turn;
    const appended = this.#appended;
    try {
      appended.begin(step.rows, this.#parts.cache.contextLength);
      for (let index = 0; index < appended.sequenceCount; index++) {
        const moves = appended.sequence(index).prepareToAppend();
        if (moves.length > 0) await this.#moves.carryOut(moves);
      }
      appended.append(step.rows);
      const run = this.#results.begin(step, options, appended);
      await this.#runChunks(run);
      return run.result;
    } catch (error) {
      appended.rollBack();
      throw error;
    } finally {
      appended.clear();
      this.#queue.leave();
    }
  }

  move(moves: readonly CacheMoveRow[]): Promise<void> {
    return moves.length === 0 ? Promise.resolve() : this.#move(moves);
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

  async #runChunks(run: RunningStep): Promise<void> {
    const { maxRows, maxSequences } = this.#parts.limits;
    const { wanted, step, options } = run;
    let from = 0;
    for (let start = 0; start < step.rows.length; ) {
      const end = this.#appended.chunkEnd(start, step.rows.length, maxRows, maxSequences);
      let until = from;
      while (until < wanted.length && (wanted[until] ?? 0) < end) until++;
      const passes = Math.max(1, Math.ceil((until - from) / this.maxSelected));
      // Offsets in the arena depend on R, so all passes over one body have the same; the last repeats a row to fill up.
      const selected = Math.ceil((until - from) / passes);
      this.#symbols[0] = end - start;
      this.#symbols[1] = selected;
      const { first, again } = stages[selected === 0 ? 'nothing' : step.select.kind];
      for (let pass = 0; pass < passes; pass++) {
        const place = from + pass * selected;
        this.#fillBlock(run, start, end, place, selected, until);
        await this.#parts.runner.run(pass === 0 ? first : again, this.#symbols, options.signal);
        if (selected === 0) continue;
        const count = Math.min(selected, until - place);
        await this.#results.read(run, place, count, this.#symbols);
        const delivered = this.#results.deliver(run, place, count);
        if (delivered) await delivered;
      }
      options.onProgress?.(end);
      from = until;
      start = end;
    }
  }

  /** Rows `start`…`end`-1, and the `selected` entries of `wanted` from `place` on, the last below `until` repeated. */
  #fillBlock(
    { step, wanted }: RunningStep,
    start: number,
    end: number,
    place: number,
    selected: number,
    until: number,
  ): void {
    const { backend, block, step: region } = this.#parts;
    block.clear();
    this.#appended.addTo(block, step.rows, start, end);
    for (let entry = place; entry < place + selected; entry++) {
      block.select((wanted[Math.min(entry, until - 1)] ?? 0) - start);
    }
    backend.write(region, 0, block.bytes);
  }
}
