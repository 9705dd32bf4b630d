/** Draws with conditions: when a row may be queued, and whether a token is to be believed. */
import { NearfieldError } from '../base/error.ts';
import type { DrawnToken, DrawQueue, DrawStep } from '../executor.ts';

export interface DrawGuard {
  /** Before a row is queued: may wait, and says whether it is. */
  readonly mayQueue: (signal: AbortSignal | undefined) => Promise<boolean>;
  /** Whether what was drawn means anything. */
  readonly isValid: () => boolean;
}

export class GuardedDraws implements DrawQueue {
  readonly #queue: DrawQueue;
  readonly #guard: DrawGuard;

  constructor(queue: DrawQueue, guard: DrawGuard) {
    this.#queue = queue;
    this.#guard = guard;
  }

  get length(): number {
    return this.#queue.length;
  }

  get cacheRows(): readonly number[] {
    return this.#queue.cacheRows;
  }

  async push(step: DrawStep, signal?: AbortSignal): Promise<boolean> {
    return (await this.#guard.mayQueue(signal)) && this.#queue.push(step, signal);
  }

  async take(): Promise<DrawnToken> {
    const token = await this.#queue.take();
    if (this.#guard.isValid()) return token;
    throw new NearfieldError('backend', 'The machine that drew this token is gone');
  }

  settled(): Promise<void> {
    return this.#queue.settled();
  }

  /** Resolves when nothing is under way; what takes longer than so many milliseconds is cancelled. */
  async quiet(graceMs: number): Promise<void> {
    const grace = setTimeout(() => void this.#queue.close(), graceMs);
    await this.#queue.settled();
    clearTimeout(grace);
  }

  close(): Promise<void> {
    return this.#queue.close();
  }
}
