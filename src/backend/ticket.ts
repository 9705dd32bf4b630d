/** Stands for what one caller has submitted to a backend: waits for it, and cancels it. Made once and used for every step. */

/** What runs the submits; told at `begin`. */
export interface TicketMachine {
  /** Stops what is under way under this ticket. */
  cancel(ticket: Ticket): void;
}

export class Ticket {
  #underWay = 0;
  #machine: TicketMachine | undefined;
  #failure: { readonly error: unknown } | undefined;
  /** A turn of the caller's event loop that is to be taken. */
  #turn: Promise<void> | undefined;
  /** What `settled` gave, and what settles it. */
  #promise: Promise<void> | undefined;
  #resolve: () => void = () => {};
  #reject: (error: unknown) => void = () => {};

  /**
   * Undefined when everything submitted since the last time has run; else a promise of that, which rejects with the first
   * failure once nothing is under way any more: `backend` when the device failed, `aborted` after `cancel`. Also a promise
   * where submits ran on the caller's thread for long, so that its event loop turns.
   */
  settled(): Promise<void> | undefined {
    if (this.#underWay === 0) {
      const turn = this.#turn;
      const failure = this.#reset();
      return failure ? Promise.reject(failure.error) : turn;
    }
    return this.#promise ?? this.#open();
  }

  /** Stops what is under way within 100 ms; what it has written is undefined. */
  cancel(): void {
    if (this.#underWay > 0) this.#machine?.cancel(this);
  }

  /** For backends: a submit does not run at once, so `end` follows. */
  begin(machine: TicketMachine): void {
    this.#machine = machine;
    this.#underWay++;
  }

  /** For backends: one that `begin` announced has run, or failed. */
  end(failure?: unknown): void {
    this.#underWay--;
    if (failure !== undefined) this.fail(failure);
    if (this.#underWay > 0 || !this.#promise) return;
    const resolve = this.#resolve;
    const reject = this.#reject;
    const failed = this.#reset();
    if (failed) reject(failed.error);
    else resolve();
  }

  /** For backends: a submit failed at once. The first failure cancels the rest. */
  fail(error: unknown): void {
    if (this.#failure) return;
    this.#failure = { error };
    this.cancel();
  }

  /** For backends: work on the caller's thread has kept its event loop from turning for long. */
  needsTurn(turn: Promise<void>): void {
    this.#turn = turn;
  }

  #open(): Promise<void> {
    this.#promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    return this.#promise;
  }

  #reset(): { readonly error: unknown } | undefined {
    const failure = this.#failure;
    this.#failure = undefined;
    this.#promise = undefined;
    this.#turn = undefined;
    // A ticket may outlive its machine, which holds much.
    this.#machine = undefined;
    return failure;
  }
}
