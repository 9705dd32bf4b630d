/**
 * The draft's side of a timeline: its own sequence, which follows the known tokens and holds the rows of a tree of guesses
 * behind them. All rows share one cache in the order they were computed; a row sees its ancestors only, so changing the
 * branch copies nothing.
 */
import { known } from '../base/error.ts';
import type { DraftModel } from '../decoder.ts';
import type { Step, StepResult } from '../executor.ts';
import type { Sequence } from '../kv-cache.ts';
import type { LogitRow } from './logits.ts';
import { StepCosts } from './step-costs.ts';

/** Rows that a tree may have in a cache. */
const mostPending = 64;

export interface GuessedRow {
  readonly token: number;
  readonly position: number;
  /** Cache row of its parent. */
  readonly parentRow: number;
}

export interface DraftSpent {
  readonly ms: number;
  readonly passes: number;
}

/** How a pass is made. */
export interface DraftPass {
  readonly signal: AbortSignal | undefined;
  /** In time that is left over: it counts for nothing, and says nothing of what a pass costs. */
  readonly isIdle: boolean;
}

export interface ComputedRow {
  readonly row: number;
  /** `[V]`, valid until the next pass. */
  readonly logits: LogitRow;
}

export class DraftTimeline {
  /** Of passes of few rows. */
  readonly costs = new StepCosts();
  readonly #model: DraftModel;
  readonly #clock: () => number;
  #sequence: Sequence | undefined;
  /** Ids of the committed rows. */
  readonly #ids: number[] = [];
  readonly #spent = { ms: 0, passes: 0 };

  constructor(model: DraftModel, clock: () => number) {
    this.#model = model;
    this.#clock = clock;
  }

  /** Passes since it was opened, and the milliseconds of those that the target waited for. */
  get spent(): DraftSpent {
    return { ...this.#spent };
  }

  /** Committed rows. */
  get length(): number {
    return this.#ids.length;
  }

  /** Rows that can still be computed behind the committed ones. */
  get room(): number {
    const inContext = this.#model.contextLength - this.#ids.length;
    return Math.min(mostPending, inContext) - (this.#sequence?.pending ?? 0);
  }

  get contextLength(): number {
    return this.#model.contextLength;
  }

  get vocabularySize(): number {
    return this.#model.executor.vocabularySize;
  }

  /** How many of the committed rows belong to the beginning of `tokens`. */
  commonLength(tokens: readonly number[]): number {
    let length = 0;
    while (length < this.#ids.length && this.#ids[length] === tokens[length]) length++;
    return length;
  }

  /** Forgets guesses, and rows from `length` on. */
  cut(length: number): void {
    this.#sequence?.forget(length);
    this.#ids.length = length;
  }

  /** Computes and commits the next rows of `tokens`, at most `most`; the logits of the last token's once it is reached. */
  async follow(tokens: readonly number[], most: number, pass: DraftPass): Promise<LogitRow | undefined> {
    const start = this.#ids.length;
    const fresh = tokens.slice(start, Math.min(tokens.length, start + most));
    if (fresh.length === 0) return undefined;
    const isLast = start + fresh.length === tokens.length;
    const sequence = this.#open();
    const rows = fresh.map((token, index) => ({
      sequence,
      token,
      position: start + index,
      parent: index === 0 ? start - 1 : { row: index - 1 },
    }));
    const select = isLast
      ? ({ kind: 'logits', rows: [rows.length - 1] } as const)
      : ({ kind: 'nothing' } as const);
    const result = await this.#run({ rows, select }, pass);
    const { logits } = result;
    const moves = sequence.commit(result.cacheRows);
    this.#ids.push(...fresh);
    await this.#model.executor.move(moves);
    return isLast ? logits : undefined;
  }

  /** Computes guesses in one pass; their rows stay pending. */
  async compute(guesses: readonly GuessedRow[], pass: DraftPass): Promise<readonly ComputedRow[]> {
    const sequence = this.#open();
    const rows = guesses.map(({ token, position, parentRow }) => {
      return { sequence, token, position, parent: parentRow };
    });
    const select = { kind: 'logits', rows: rows.map((_, index) => index) } as const;
    const { cacheRows, logits } = await this.#run({ rows, select }, pass);
    const width = this.vocabularySize;
    return guesses.map((_, index) => ({
      row: known(cacheRows[index], 'cache row of a guess'),
      logits: logits.subarray(index * width, (index + 1) * width),
    }));
  }

  /** Guesses that came true become committed rows; `kept`, descendants of the last of them, stay guesses. */
  async commit(ids: readonly number[], path: readonly number[], kept: readonly number[]): Promise<void> {
    const moves = this.#open().commit(path, kept);
    this.#ids.push(...ids);
    await this.#model.executor.move(moves);
  }

  /** Gives the memory back; everything is to be computed anew. */
  close(): void {
    this.#sequence?.close();
    this.#sequence = undefined;
    this.#ids.length = 0;
    this.#model.trim?.();
  }

  #open(): Sequence {
    this.#sequence ??= this.#model.openSequence();
    return this.#sequence;
  }

  async #run(step: Step, { signal, isIdle }: DraftPass): Promise<StepResult> {
    const began = this.#clock();
    this.#spent.passes++;
    try {
      const result = await this.#model.executor.run(step, signal ? { signal } : {});
      const rowCount = step.rows.length;
      if (!isIdle && rowCount <= mostPending) this.costs.observe(rowCount, this.#clock() - began);
      return result;
    } finally {
      if (!isIdle) this.#spent.ms += this.#clock() - began;
    }
  }
}
