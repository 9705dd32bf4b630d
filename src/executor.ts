/**
 * The executor runs steps: it puts rows into the step block, splits what is too long into chunks, submits the segments
 * that the wanted result needs, and reads the result back. Steps of several sessions run in order of arrival; each
 * changes its sequences only when its turn comes, and not at all when it fails.
 */
import type { AdjustedLogit, DrawRule, DrawShape } from './backend.ts';
import type { Value } from './graph.ts';
import type { CacheMoveRow, Sequence } from './kv-cache.ts';

export { type ExecutorOptions, openExecutor, workspaceBytes } from './executor/open.ts';

export interface StepRow {
  readonly sequence: Sequence;
  readonly token: number;
  /** What RoPE and windows use; usually the row's depth in its sequence. */
  readonly position: number;
  /**
   * Cache row of its parent (see `Sequence.append`; also one that an earlier row of this step takes), or index into
   * `rows` of a parent in the same step as `{ row: index }`.
   */
  readonly parent: number | { readonly row: number };
}

/** What a step gives back, for which rows: ascending indices into `rows`. */
export type Select =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'argmax'; readonly rows: readonly number[] }
  | { readonly kind: 'logits'; readonly rows: readonly number[] };

export interface Step {
  /** Any number; parents come before children. */
  readonly rows: readonly StepRow[];
  readonly select: Select;
}

/** Reused: valid until the next run of a step whose first row is of the same sequence. */
export interface StepResult {
  /** Cache row of each row of the step. */
  readonly cacheRows: readonly number[];
  /** Of kind `argmax`: the most likely id of each selected row. */
  readonly argmax: readonly number[];
  /** Of kind `logits`: `[R, V]`, row after row; empty where `onLogits` took them. */
  readonly logits: Float32Array | Float64Array;
}

export interface RunOptions {
  /** Stops the step within 100 ms, or before it has begun; it then rejects with `aborted`. */
  readonly signal?: AbortSignal;
  /** Rows of the step that are done, after each chunk. */
  readonly onProgress?: (rowsDone: number) => void;
  /**
   * Takes the logits of a `logits` step piece by piece, so that any number of rows may be selected: indices into the
   * step's `rows`, ascending over all pieces, and `[rows.length, V]`. Both are valid until it returns or settles; it
   * must not run a step itself, the machine waits for it.
   */
  readonly onLogits?: (rows: readonly number[], logits: Float32Array | Float64Array) => void | Promise<void>;
}

/** A row whose token the machine may have drawn, and how it draws the token that follows. */
export interface DrawStep {
  /** Undefined: the one that the row queued before it gives. */
  readonly token: number | undefined;
  readonly position: number;
  /** The random number of the draw, in [0, 1). */
  readonly uniform: number;
  /** Ids whose logits are changed, ascending. */
  readonly adjusted: readonly AdjustedLogit[];
  /** So many of the latest tokens, which are not known yet, count for the penalties; at most `mostUnread`. */
  readonly seenUnread: number;
}

export interface DrawnToken {
  readonly id: number;
  /** False where the host may draw another one from the same logits. What was queued behind it is then worth nothing. */
  readonly isSure: boolean;
}

/**
 * Rows of one sequence, queued one behind the other before their tokens are known here; they become pending rows. The order
 * with other steps is that of asking. Where anything fails or the rows are not wanted, `close` and cut the sequence back.
 */
export interface DrawQueue {
  /** Rows queued whose draw is not taken, and their cache rows. */
  readonly length: number;
  readonly cacheRows: readonly number[];
  /**
   * False where the row cannot be queued at present, but by `Executor.run`. Rejects as that does; the sequence is then as
   * before.
   */
  push(step: DrawStep, signal?: AbortSignal): Promise<boolean>;
  /** Waits for the token that the first of these rows gives, and takes it. Rejects with `aborted` or `backend`. */
  take(): Promise<DrawnToken>;
  /** Resolves when nothing is under way, whatever came of it. */
  settled(): Promise<void>;
  /** Cancels what has not begun; resolves when nothing is under way. */
  close(): Promise<void>;
}

/** What decoding needs of an executor. */
export interface Executor {
  readonly vocabularySize: number;
  /** Largest number of rows whose logits one step may select without `onLogits`. */
  readonly maxSelected: number;
  /**
   * Appends the rows to their sequences, as pending rows, and computes them. Throws `bad-argument` for a row, parent or
   * selection that cannot be, `context-full`, `out-of-budget`, `aborted`, `backend`; the sequences are then as before.
   */
  run(step: Step, options?: RunOptions): Promise<StepResult>;
  /** Carries out the moves of a commit or a share; undefined for none. */
  move(moves: readonly CacheMoveRow[]): Promise<void> | undefined;
  /** Whether the machine draws tokens itself; false where it is left out. */
  readonly draws?: boolean;
  /** Undefined where it does not, or not at present. */
  openDraws?(sequence: Sequence, rule: DrawRule, shape: DrawShape): DrawQueue | undefined;
  close(): void | Promise<void>;
}

/** An executor as `openExecutor` makes it. */
export interface PlanExecutor extends Executor {
  /** Rows computed in one pass; longer steps are cut. */
  readonly maxRows: number;
  /** Bytes held for activations and the step block. */
  readonly arenaBytes: number;
  /**
   * `[rows, width]` of a value that the plan observes, as the latest pass left it: to be asked for before the next step,
   * after a step of one pass. Throws `internal` for a value that is not kept.
   */
  observed(value: Value): Promise<Float32Array | Float64Array>;
  /** Stops the running step, refuses those that wait (`aborted`), and resolves once everything is freed. */
  close(): Promise<void>;
}

/** One program that ran, or other work of an engine. Where steps are traced, no program is submitted before the last is done. */
export interface TraceEvent {
  /** What worked: `target` (where it is left out), `draft`, `read`, `repack`. */
  readonly lane?: string;
  /** Stage of the segment. */
  readonly name: string;
  /** On the clock of `performance.now()`. */
  readonly startMs: number;
  readonly durationMs: number;
  readonly rows: number;
}
