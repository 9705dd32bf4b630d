/** What runs tapes: threads of their own (`threads.ts`), or the caller's thread alone (`single-thread.ts`). */
import type { Ticket } from '../../backend.ts';

/** A tape in memory. Runners keep account of it here. */
export interface Tape {
  readonly address: number;
  /** Rows of the step it computes. */
  rows: number;
  /** What it took the last time that it was timed; `untimed` before. */
  microseconds: number;
  /** Runs since then. */
  runsSince: number;
  /** Submits of it that have not run. */
  underWay: number;
}

/** More than any tape takes; `assembly/index.ts` has the same. */
export const untimed = 1e9;

/** Of many rows, until it is told otherwise. */
export function newTape(address: number): Tape {
  return { address, rows: Number.POSITIVE_INFINITY, microseconds: untimed, runsSince: 0, underWay: 0 };
}

/** Runs tapes, each in turn. */
export interface TapeRunner {
  /** That compute steps of few rows. */
  readonly threads: number;
  /** May run it at once. Throws `internal` where too many are under way. */
  submit(tape: Tape, ticket: Ticket): void;
  cancel(ticket: Ticket): void;
  /** Tickets under way are rejected. */
  close(): Promise<void>;
}
