/**
 * Rows given to a machine that draws tokens itself, ahead of the tokens that are known here: while one is computed the
 * next is queued. What a machine is not sure of, and what it fails at, is left to the loop, which computes that row by
 * itself; rows queued beyond are dropped.
 */
import { mostUnread } from '../backend.ts';
import { throwIfAborted } from '../base/error.ts';
import { uniformAt } from '../base/random.ts';
import type { DecodeTarget } from '../decoder.ts';
import type { DrawQueue, DrawStep } from '../executor.ts';
import { DrawTerms } from './draw-terms.ts';
import type { Sampling } from './sampling-options.ts';

/** Rows under way at a time: one that is computed, and one behind it, so that the machine never waits for the host. */
const rowsAhead = Math.min(2, mostUnread);
/** A machine that fails so often is not asked again. */
const mostFailures = 3;

export class DrawAhead {
  readonly #target: DecodeTarget;
  readonly #sampling: Sampling;
  readonly #terms: DrawTerms;
  readonly #signal: AbortSignal | undefined;
  #queue: DrawQueue | undefined;
  #failures = 0;
  readonly #onAbort = (): void => void this.#queue?.close();

  /** Undefined where the machine draws no tokens, or none by these options. */
  static of(
    target: DecodeTarget,
    sampling: Sampling,
    signal: AbortSignal | undefined,
  ): DrawAhead | undefined {
    const { executor } = target;
    const terms = executor.draws ? DrawTerms.of(sampling, executor.vocabularySize) : undefined;
    return terms && new DrawAhead(target, sampling, terms, signal);
  }

  private constructor(
    target: DecodeTarget,
    sampling: Sampling,
    terms: DrawTerms,
    signal: AbortSignal | undefined,
  ) {
    this.#target = target;
    this.#sampling = sampling;
    this.#terms = terms;
    this.#signal = signal;
  }

  /** Rows under way. */
  get length(): number {
    return this.#queue?.length ?? 0;
  }

  /**
   * The token that follows, its row committed; undefined where the loop has to find it, with nothing under way then. So many
   * rows are queued at most before; of those under way the next is taken. Rejects with `aborted` by the signal alone.
   */
  async next(mostRows: number): Promise<number | undefined> {
    try {
      const queue = await this.#fill(Math.min(rowsAhead, mostRows));
      const [row, ...kept] = queue?.cacheRows ?? [];
      if (!queue || row === undefined) return await this.#dropAll();
      const { id, isSure } = await queue.take();
      throwIfAborted(this.#signal);
      if (!isSure) return await this.#dropAll();
      this.#target.sequence.commit([row], kept);
      return id;
    } catch {
      // The loop's own step says what is wrong, if it still is.
      await this.#dropAll();
      throwIfAborted(this.#signal);
      this.#failures++;
      return undefined;
    }
  }

  /** Lets go of what is under way; its rows are the caller's to forget. */
  close(): Promise<void> | undefined {
    this.#signal?.removeEventListener('abort', this.#onAbort);
    const closing = this.#queue?.close();
    this.#queue = undefined;
    return closing;
  }

  async #fill(mostRows: number): Promise<DrawQueue | undefined> {
    const { executor, sequence } = this.#target;
    if (!this.#queue && this.#failures < mostFailures) {
      this.#queue = executor.openDraws?.(sequence, this.#terms.rule, this.#terms.shape);
      if (this.#queue) this.#signal?.addEventListener('abort', this.#onAbort);
    }
    const queue = this.#queue;
    while (queue && queue.length < mostRows) {
      const step = this.#stepBehind(queue.length);
      if (!step || !(await queue.push(step, this.#signal))) break;
    }
    return queue;
  }

  /** The row behind so many that are under way. */
  #stepBehind(unread: number): DrawStep | undefined {
    const { tokens } = this.#target;
    const position = tokens.length - 1 + unread;
    if (position >= this.#target.contextLength) return undefined;
    const adjusted = this.#terms.entries(tokens, unread);
    return (
      adjusted && {
        ...{ position, adjusted, seenUnread: this.#terms.seenOf(unread) },
        token: unread === 0 ? tokens.at(-1) : undefined,
        uniform: uniformAt(this.#sampling.seed, position + 1),
      }
    );
  }

  async #dropAll(): Promise<undefined> {
    await this.close();
    const { sequence } = this.#target;
    if (sequence.pending > 0) sequence.forget(sequence.committed);
    return undefined;
  }
}
