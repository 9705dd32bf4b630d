/** Without shared memory the caller's thread computes, a slice of a tape at a time, so that its event loop goes on turning. */
import type { Ticket } from '../../backend.ts';
import { NearfieldError } from '../../base/error.ts';
import { nextTurn } from '../../base/platform.ts';
import { CallerThread } from './caller-thread.ts';
import type { KernelExports } from './control.ts';
import { type Tape, type TapeRunner, untimed } from './tape-runner.ts';

interface UnderWay {
  readonly tape: Tape;
  readonly ticket: Ticket;
  /** Where to go on. */
  from: number;
  isCancelled: boolean;
}

export class SingleThread implements TapeRunner {
  readonly threads = 1;
  readonly #caller: CallerThread;
  /** The first is being computed. */
  readonly #underWay: UnderWay[] = [];
  #isClosed = false;

  constructor(kernels: KernelExports) {
    this.#caller = new CallerThread(kernels, -1);
  }

  submit(tape: Tape, ticket: Ticket): void {
    if (this.#isClosed) {
      ticket.fail(closed());
      return;
    }
    const isAlone = this.#underWay.length === 0;
    const from = isAlone ? this.#computeSlice(tape, tape.address) : tape.address;
    if (from === 0) {
      this.#caller.turnIfDue(ticket);
      return;
    }
    tape.underWay++;
    ticket.begin(this);
    this.#underWay.push({ tape, ticket, from, isCancelled: false });
    if (isAlone) void this.#goOn();
  }

  cancel(ticket: Ticket): void {
    for (const entry of this.#underWay) if (entry.ticket === ticket) entry.isCancelled = true;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const { ticket } of this.#underWay.splice(0)) ticket.end(closed());
  }

  /** Slice after slice until nothing is under way. */
  async #goOn(): Promise<void> {
    for (;;) {
      await nextTurn();
      this.#caller.turned();
      const entry = this.#underWay[0];
      if (!entry) return;
      const { tape, ticket, isCancelled } = entry;
      if (!isCancelled) {
        entry.from = this.#computeSlice(tape, entry.from);
        if (entry.from !== 0) continue;
      }
      this.#underWay.shift();
      tape.underWay--;
      ticket.end(isCancelled ? new NearfieldError('aborted', 'Aborted by the caller') : undefined);
      if (this.#underWay.length === 0) return;
    }
  }

  /** Until the event loop must turn. Of a tape that may be long the clock is asked after each entry. */
  #computeSlice(tape: Tape, from: number): number {
    return this.#caller.run(tape, from, tape.microseconds === untimed ? 1 : 32, this.#caller.usUntilTurn);
  }
}

const closed = (): NearfieldError => new NearfieldError('backend', 'The backend was closed');
