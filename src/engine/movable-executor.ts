/** An executor in whose place one on another machine may come, for the sequences of a `MovableCache`. */
import type { DrawRule, DrawShape } from '../backend.ts';
import type { DrawQueue, PlanExecutor, RunOptions, Step, StepResult } from '../executor.ts';
import type { Value } from '../graph.ts';
import type { CacheMoveRow, Sequence } from '../kv-cache.ts';
import { presentSequence } from './movable-cache.ts';

export class MovableExecutor implements PlanExecutor {
  #executor: PlanExecutor;

  constructor(executor: PlanExecutor) {
    this.#executor = executor;
  }

  get vocabularySize(): number {
    return this.#executor.vocabularySize;
  }

  get maxSelected(): number {
    return this.#executor.maxSelected;
  }

  get maxRows(): number {
    return this.#executor.maxRows;
  }

  get arenaBytes(): number {
    return this.#executor.arenaBytes;
  }

  get draws(): boolean {
    return this.#executor.draws === true;
  }

  openDraws(sequence: Sequence, rule: DrawRule, shape: DrawShape): DrawQueue | undefined {
    return this.#executor.openDraws?.(presentSequence(sequence), rule, shape);
  }

  run(step: Step, options?: RunOptions): Promise<StepResult> {
    const rows = step.rows.map((row) => ({ ...row, sequence: presentSequence(row.sequence) }));
    return this.#executor.run({ ...step, rows }, options);
  }

  move(moves: readonly CacheMoveRow[]): Promise<void> | undefined {
    return this.#executor.move(moves);
  }

  observed(value: Value): Promise<Float32Array | Float64Array> {
    return this.#executor.observed(value);
  }

  close(): Promise<void> {
    return this.#executor.close();
  }

  /** The one before is closed. */
  moveTo(executor: PlanExecutor): void {
    this.#executor = executor;
  }
}
