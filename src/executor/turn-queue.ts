/** Lets one caller at a time work with the machine, in order of arrival. */
import { NearfieldError, throwIfAborted } from '../base/error.ts';

interface Waiting {
  start(): void;
  refuse(error: NearfieldError): void;
}

export class TurnQueue {
  readonly #waiting: Waiting[] = [];
  #busy = false;
  #closed = false;
  #whenIdle: (() => void) | undefined;

  /**
   * Undefined when the turn has begun, else a promise of its beginning. Throws or rejects with `aborted`, at once also
   * while it waits. Who got a turn must `leave`.
   */
  enter(signal: AbortSignal | undefined): Promise<void> | undefined {
    if (this.#closed) throw closedError();
    throwIfAborted(signal);
    if (this.#busy) return this.#wait(signal);
    this.#busy = true;
    return undefined;
  }

  leave(): void {
    const next = this.#waiting.shift();
    this.#busy = next !== undefined;
    if (next) next.start();
    else this.#whenIdle?.();
  }

  /** Refuses who waits and who comes; resolves when the present turn is over. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const waiting of this.#waiting.splice(0)) waiting.refuse(closedError());
    if (!this.#busy) return;
    await new Promise<void>((resolve) => {
      this.#whenIdle = resolve;
    });
  }

  #wait(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        reject(new NearfieldError('aborted', 'Aborted by the caller', { cause: signal?.reason }));
      };
      const waiting: Waiting = {
        start() {
          signal?.removeEventListener('abort', abort);
          resolve();
        },
        refuse(error) {
          signal?.removeEventListener('abort', abort);
          reject(error);
        },
      };
      signal?.addEventListener('abort', abort);
      this.#waiting.push(waiting);
    });
  }
}

export function closedError(): NearfieldError {
  return new NearfieldError('aborted', 'The executor was closed');
}
