/** The client's end of the channel: numbered calls to a worker, each with its answer, its reports and its abort. */
import { NearfieldError, throwIfAborted } from '../../base/error.ts';
import { type HostWorker, openPulse } from '../../base/platform.ts';
import { rebuildError } from './carried-error.ts';
import type { CallName, ClientMessage, EngineCalls, WorkerMessage } from './message.ts';

export interface CallOptions<Name extends CallName> {
  readonly signal?: AbortSignal | undefined;
  readonly onReport?: ((report: EngineCalls[Name]['report']) => void) | undefined;
}

export interface PendingCall<Name extends CallName> {
  readonly answer: Promise<EngineCalls[Name]['answer']>;
  note(note: EngineCalls[Name]['note']): void;
  abort(): void;
}

interface Waiting {
  resolve(answer: unknown): void;
  reject(error: unknown): void;
  report(report: unknown): void;
}

export class CallClient {
  /** Called for whatever the worker says. */
  onHeard: (() => void) | undefined;
  readonly #worker: HostWorker;
  readonly #waiting = new Map<number, Waiting>();
  /** A worker alone does not keep a Node process alive while its answer is awaited. */
  readonly #pulse = openPulse(60_000, () => {});
  #calls = 0;
  #failure: NearfieldError | undefined;

  constructor(worker: HostWorker) {
    this.#worker = worker;
    worker.onMessage((message) => this.#receive(message as WorkerMessage));
  }

  call<Name extends CallName>(
    name: Name,
    given: EngineCalls[Name]['given'],
    { signal, onReport }: CallOptions<Name> = {},
  ): PendingCall<Name> {
    const call = ++this.#calls;
    const abort = () => this.#post({ kind: 'abort', call });
    const answer = new Promise<EngineCalls[Name]['answer']>((resolve, reject) => {
      throwIfAborted(signal);
      if (this.#failure) throw this.#failure;
      this.#postCall({ kind: 'call', call, name, given });
      const report = (report: unknown) => {
        try {
          onReport?.(report as EngineCalls[Name]['report']);
        } catch (error) {
          // A callback of the caller's threw: the call ends with that.
          abort();
          this.#settle(call)?.reject(error);
        }
      };
      this.#waiting.set(call, { resolve: resolve as (answer: unknown) => void, reject, report });
      this.#pulse.hold();
      signal?.addEventListener('abort', abort);
    });
    const forget = () => signal?.removeEventListener('abort', abort);
    answer.then(forget, forget);
    return { answer, note: (note) => this.#post({ kind: 'note', call, note }), abort };
  }

  get isOpen(): boolean {
    return this.#failure === undefined;
  }

  /** Ends the worker: calls under way reject with `error`, those to come with `later`. The first failure stays. */
  async fail(error: NearfieldError, later: NearfieldError = error): Promise<void> {
    if (this.#failure) return;
    this.#failure = later;
    for (const call of [...this.#waiting.keys()]) this.#settle(call)?.reject(error);
    await this.#worker.terminate();
  }

  /** Ends the worker when nothing is under way any more. */
  end(): Promise<void> {
    return this.fail(new NearfieldError('internal', 'The worker has been sent home'));
  }

  #post(message: ClientMessage): void {
    if (!this.#failure) this.#worker.post(message);
  }

  #postCall(message: ClientMessage & { kind: 'call' }): void {
    try {
      this.#worker.post(message);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new NearfieldError(
        'bad-argument',
        `What ${message.name} was given cannot be sent to the engine's worker: ${reason}`,
        { cause },
      );
    }
  }

  #receive(message: WorkerMessage): void {
    this.onHeard?.();
    if (message.kind === 'report') this.#waiting.get(message.call)?.report(message.report);
    else if (message.kind === 'answer') this.#settle(message.call)?.resolve(message.answer);
    else if (message.kind === 'error') this.#settle(message.call)?.reject(rebuildError(message.error));
  }

  #settle(call: number): Waiting | undefined {
    const waiting = this.#waiting.get(call);
    this.#waiting.delete(call);
    if (this.#waiting.size === 0) this.#pulse.rest();
    return waiting;
  }
}
