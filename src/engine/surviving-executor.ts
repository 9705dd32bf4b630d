/**
 * A session's way to a machine that may be lost: a step that failed so is run again once the machine is back and the rows
 * before it have been computed again, from the tokens that are kept here. The ids are those of an undisturbed run.
 */
import type { DrawRule, DrawShape } from '../backend.ts';
import type { DrawQueue, RunOptions, Step, StepResult } from '../executor.ts';
import type { CacheMoveRow, Sequence } from '../kv-cache.ts';
import { computeChain } from './compute-chain.ts';
import { GuardedDraws } from './guarded-draws.ts';
import { appendRows } from './movable-cache.ts';
import type { SessionExecutor } from './pausable-executor.ts';
import type { Recovery } from './recovery.ts';

/** Of one step: a machine that is lost again and again is of no use. */
const mostLosses = 3;

export class SurvivingExecutor implements SessionExecutor {
  readonly vocabularySize: number;
  readonly maxSelected: number;
  readonly maxRows: number;
  readonly draws: boolean;
  readonly #executor: SessionExecutor;
  readonly #sequence: Sequence;
  readonly #recovery: Recovery;
  /** Ids of the committed rows, and maybe more behind them. */
  #tokens: readonly number[];
  /** The loss up to which the sequence's rows are there. */
  #epoch: number;

  constructor(executor: SessionExecutor, sequence: Sequence, tokens: readonly number[], recovery: Recovery) {
    this.#executor = executor;
    this.#sequence = sequence;
    this.#tokens = tokens;
    this.#recovery = recovery;
    this.#epoch = recovery.epoch;
    this.vocabularySize = executor.vocabularySize;
    this.maxSelected = executor.maxSelected;
    this.maxRows = executor.maxRows;
    this.draws = executor.draws === true;
  }

  /** From now on the committed rows are those of these ids. */
  follow(tokens: readonly number[]): void {
    this.#tokens = tokens;
  }

  async run(step: Step, options: RunOptions = {}): Promise<StepResult> {
    for (let losses = 0; ; losses++) {
      try {
        return await this.#runOnce(step, options);
      } catch (error) {
        const isLost = this.#recovery.isNeeded || this.#recovery.underWay || error === staleStep;
        if (!isLost || losses === mostLosses) throw error;
        if (this.#recovery.isNeeded) await this.#recovery.recover(error, losses > 0);
      }
    }
  }

  /** What moves is computed again if the machine is lost: before the next step, which finds the rows of a lost one. */
  async move(moves: readonly CacheMoveRow[]): Promise<void> {
    try {
      await this.#executor.move(moves);
    } catch (error) {
      if (!this.#recovery.isNeeded) throw error;
      await this.#recovery.recover(error, false);
    }
  }

  /** While the machine is as it was: what a lost one has drawn is found by a step that `run` computes. */
  openDraws(sequence: Sequence, rule: DrawRule, shape: DrawShape): DrawQueue | undefined {
    const recovery = this.#recovery;
    const epoch = this.#epoch;
    const isValid = (): boolean => !recovery.isNeeded && !recovery.underWay && recovery.epoch === epoch;
    const queue = isValid() ? this.#executor.openDraws?.(sequence, rule, shape) : undefined;
    return queue && new GuardedDraws(queue, { mayQueue: async () => isValid(), isValid });
  }

  close(): void {}

  /** Has the committed rows' contents there: for what reads them without a step. */
  async renew(): Promise<void> {
    await this.#recovery.underWay;
    if (this.#epoch !== this.#recovery.epoch) await this.#evaluateAgain(undefined);
  }

  async #runOnce(step: Step, options: RunOptions): Promise<StepResult> {
    await this.#recovery.underWay;
    if (this.#epoch !== this.#recovery.epoch) await this.#evaluateAgain(options.signal);
    const epoch = this.#epoch;
    const committed = this.#sequence.committed;
    const result = await this.#executor.run(step, options);
    if (epoch === this.#recovery.epoch) return result;
    // It ran while weights were missing.
    this.#sequence.forget(committed);
    throw staleStep;
  }

  async #evaluateAgain(signal: AbortSignal | undefined): Promise<void> {
    const { epoch } = this.#recovery;
    const tokens = this.#tokens.slice(0, this.#sequence.committed);
    this.#sequence.forget(0);
    try {
      await computeChain(this.#executor, this.#sequence, tokens, signal ? { signal } : {});
    } catch (error) {
      // The account of rows stays what the caller knows; their contents are computed when it asks again.
      appendRows(this.#sequence, tokens.length);
      throw error;
    }
    this.#epoch = epoch;
  }
}

/** Thrown for a step whose results mean nothing. */
const staleStep = new Error('The machine was lost under way');
