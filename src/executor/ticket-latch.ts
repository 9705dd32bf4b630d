/** Waits for all tickets of one submission; the first failure cancels the rest. Made once and used for every step. */
import type { Ticket } from '../backend.ts';

export class TicketLatch {
  readonly #tickets: Ticket[] = [];
  #open = 0;
  #failure: { readonly error: unknown } | undefined;
  /** Settles the promise that `settled` gave. */
  #resolve: (() => void) | undefined;
  #reject: ((error: unknown) => void) | undefined;

  readonly #finish = (): void => {
    this.#open--;
    if (this.#open > 0) return;
    const [resolve, reject] = [this.#resolve, this.#reject];
    if (!resolve || !reject) return;
    const failure = this.#reset();
    if (failure) reject(failure.error);
    else resolve();
  };

  readonly #fail = (error: unknown): void => {
    this.#failure ??= { error };
    this.cancel();
    this.#finish();
  };

  watch(ticket: Ticket): void {
    this.#tickets.push(ticket);
    this.#open++;
    ticket.done.then(this.#finish, this.#fail);
  }

  /** The oldest last: where a machine can be told of one ticket only, it hears of the one that runs. */
  cancel(): void {
    for (let index = this.#tickets.length - 1; index >= 0; index--) this.#tickets[index]?.cancel();
  }

  /** Resolves or rejects once every ticket watched since the last call is settled. */
  settled(): Promise<void> {
    if (this.#open > 0) {
      return new Promise((resolve, reject) => {
        this.#resolve = resolve;
        this.#reject = reject;
      });
    }
    const failure = this.#reset();
    return failure ? Promise.reject(failure.error) : Promise.resolve();
  }

  #reset(): { readonly error: unknown } | undefined {
    const failure = this.#failure;
    this.#tickets.length = 0;
    this.#failure = undefined;
    this.#resolve = undefined;
    this.#reject = undefined;
    return failure;
  }
}
