/** The caller's own thread as one that computes: runs tapes in thread 0's place, and keeps its event loop turning. */
import type { Ticket } from '../../backend.ts';
import { monotonicMs, nextTurn } from '../../base/platform.ts';
import type { KernelExports } from './control.ts';
import type { Tape } from './tape-runner.ts';

/** After so much work the event loop gets a turn. More often, turns are most of the garbage. */
const turnEveryUs = 32_000;
/** Below this a tape is timed once in four runs: reading the clock is garbage. */
const briefUs = 16_000;

export class CallerThread {
  readonly #kernels: KernelExports;
  /** How long it waits for other threads at a barrier, in microseconds; -1: for ever. */
  readonly #patience: number;
  /** Work since the last turn. */
  #spentUs = 0;

  constructor(kernels: KernelExports, patience: number) {
    this.#kernels = kernels;
    this.#patience = patience;
  }

  get usUntilTurn(): number {
    return Math.max(0, turnEveryUs - this.#spentUs);
  }

  /**
   * Runs a tape, from `from` on. Returns 0 when it is done, else where to go on. It is left at a look at the clock, one
   * every `stride` entries, when `forUs` have passed.
   */
  run(tape: Tape, from: number, stride: number, forUs: number): number {
    if (tape.microseconds < briefUs && tape.runsSince < 3) {
      tape.runsSince++;
      this.#spentUs += tape.microseconds;
      return this.#kernels.advance(from, 0, 0, this.#patience);
    }
    const beganMs = monotonicMs();
    const rest = this.#kernels.advance(from, stride, forUs, this.#patience);
    const us = Math.round((monotonicMs() - beganMs) * 1000);
    this.#spentUs += us;
    if (rest === 0 && from === tape.address) {
      tape.microseconds = us;
      tape.runsSince = 0;
    }
    return rest;
  }

  /** The event loop has turned, or is about to. */
  turned(): void {
    this.#spentUs = 0;
  }

  /** After work under this ticket: where a turn is due, its caller is to take it. */
  turnIfDue(ticket: Ticket): void {
    if (this.#spentUs < turnEveryUs) return;
    this.turned();
    ticket.needsTurn(nextTurn());
  }
}
