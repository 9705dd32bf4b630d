/** Compute threads over one shared memory, and tickets for the tapes they run. Without shared memory the caller computes. */

import type { Ticket } from '../../backend.ts';
import { NearfieldError } from '../../base/error.ts';
import { type HostWorker, nextTurn, openPulse } from '../../base/platform.ts';
import { firstMessage, type WorkerScript } from '../../base/worker-script.ts';
import {
  type ComputeStart,
  controlWords,
  instantiateKernels,
  type KernelExports,
  ringLength,
} from './control.ts';

/** Runs tapes; each in turn. */
export interface TapeRunner {
  readonly threads: number;
  submit(tapeAddress: number): Ticket;
  /** True once the tape of this number, counted from 1, has run. */
  isDone(number: number): boolean;
  readonly submitted: number;
  close(): Promise<void>;
}

interface Waiting {
  readonly number: number;
  cancelled: boolean;
  resolve(): void;
  reject(error: NearfieldError): void;
}

/** How often waiting threads are woken in case a notification was lost on the way. */
const pulseMilliseconds = 100;

export class ThreadPool implements TapeRunner {
  readonly threads: number;
  submitted = 0;
  readonly #control: Int32Array;
  readonly #workers: HostWorker[];
  readonly #waiting: Waiting[] = [];
  readonly #pulse = openPulse(pulseMilliseconds, () => this.#beat());
  /** The watch that is under way; a newer one replaces it. */
  #watch = 0;
  #failure: NearfieldError | undefined;

  private constructor(memory: WebAssembly.Memory, workers: HostWorker[]) {
    this.#control = new Int32Array(memory.buffer);
    this.#workers = workers;
    this.threads = workers.length;
    for (const worker of workers) worker.onError((error) => this.#fail(error));
  }

  static async open(
    module: WebAssembly.Module,
    memory: WebAssembly.Memory,
    threads: number,
    script: WorkerScript,
  ): Promise<ThreadPool> {
    const pulse = openPulse(pulseMilliseconds, () => {});
    pulse.hold();
    const workers: HostWorker[] = [];
    try {
      const started = Array.from({ length: threads }, async (_, thread) => {
        const worker = script.spawn(`compute ${thread}`);
        workers.push(worker);
        const ready = firstMessage(worker);
        worker.post({ module, memory, thread, seen: 0 } satisfies ComputeStart);
        await ready;
      });
      await Promise.all(started);
      return new ThreadPool(memory, workers);
    } catch (cause) {
      for (const worker of workers) void worker.terminate();
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new NearfieldError(
        'backend',
        `A compute thread did not start from ${script.address} (${reason}); set assets.computeWorker to where compute-worker.js lies`,
        { cause },
      );
    } finally {
      pulse.rest();
    }
  }

  isDone(number: number): boolean {
    return Atomics.load(this.#control, controlWords.finished) >= number;
  }

  submit(tapeAddress: number): Ticket {
    if (this.#failure) return { done: Promise.reject(this.#failure), cancel: () => {} };
    if (this.#waiting.length >= ringLength - 2) {
      throw new NearfieldError('internal', `More than ${ringLength - 2} tapes are under way`);
    }
    const number = this.submitted + 1;
    this.#send(tapeAddress);
    const done = new Promise<void>((resolve, reject) => {
      this.#waiting.push({ number, cancelled: false, resolve, reject });
    });
    if (this.#waiting.length === 1) {
      this.#pulse.hold();
      void this.#watchFinished();
    }
    return { done, cancel: () => this.#cancel(number) };
  }

  #send(tapeAddress: number): void {
    this.#control[controlWords.ring + (this.submitted % ringLength)] = tapeAddress;
    this.submitted++;
    Atomics.store(this.#control, controlWords.submitted, this.submitted);
    Atomics.notify(this.#control, controlWords.submitted);
  }

  #cancel(number: number): void {
    const entry = this.#waiting.find((candidate) => candidate.number === number);
    if (!entry) return;
    entry.cancelled = true;
    Atomics.store(this.#control, controlWords.cancel, number);
  }

  /** Settles tickets as their tapes finish, until none waits. */
  async #watchFinished(): Promise<void> {
    this.#watch++;
    const watch = this.#watch;
    for (;;) {
      const finished = this.#settle();
      if (this.#waiting.length === 0) return;
      await changed(this.#control, controlWords.finished, finished);
      if (watch !== this.#watch) return;
    }
  }

  /** Settles what has finished; returns the number of finished tapes it went by. */
  #settle(): number {
    const finished = Atomics.load(this.#control, controlWords.finished);
    let first = this.#waiting[0];
    while (first && first.number <= finished) {
      this.#waiting.shift();
      if (first.cancelled) first.reject(new NearfieldError('aborted', 'Aborted by the caller'));
      else first.resolve();
      first = this.#waiting[0];
    }
    if (!first) this.#pulse.rest();
    return finished;
  }

  #beat(): void {
    if (this.#waiting.length === 0) return;
    for (const word of [controlWords.submitted, controlWords.generation]) Atomics.notify(this.#control, word);
    void this.#watchFinished();
  }

  #fail(cause: Error): void {
    this.#failure ??= new NearfieldError('backend', `A compute thread failed: ${cause.message}`, { cause });
    for (const { reject } of this.#waiting.splice(0)) reject(this.#failure);
    this.#watch++;
    this.#pulse.rest();
  }

  /** Tapes under way are not waited for; their tickets are rejected. */
  async close(): Promise<void> {
    this.#fail(new Error('the backend was closed'));
    this.#send(0);
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}

/** Resolves when the word is no longer `value`, and sometimes before. */
async function changed(words: Int32Array, index: number, value: number): Promise<void> {
  if (typeof Atomics.waitAsync === 'function') {
    const wait = Atomics.waitAsync(words, index, value);
    if (wait.async) await wait.value;
    return;
  }
  while (Atomics.load(words, index) === value) await nextTurn();
}

/** The caller's thread computes, a slice of the tape at a time, so that its event loop goes on turning. */
export class SingleThread implements TapeRunner {
  readonly threads = 1;
  submitted = 0;
  #finished = 0;
  readonly #kernels: KernelExports;
  #last: Promise<void> = Promise.resolve();

  constructor(module: WebAssembly.Module, memory: WebAssembly.Memory) {
    this.#kernels = instantiateKernels(module, memory);
  }

  isDone(number: number): boolean {
    return this.#finished >= number;
  }

  submit(tapeAddress: number): Ticket {
    this.submitted++;
    let cancelled = false;
    const run = async () => {
      let entry = tapeAddress;
      while (entry !== 0) {
        if (cancelled) {
          this.#finished++;
          throw new NearfieldError('aborted', 'Aborted by the caller');
        }
        entry = this.#advance(entry);
        await nextTurn();
      }
      this.#finished++;
    };
    const done = this.#last.catch(() => {}).then(run);
    this.#last = done;
    done.catch(() => {});
    return {
      done,
      cancel: () => {
        cancelled = true;
      },
    };
  }

  /** Entries until about ten milliseconds have passed. */
  #advance(entry: number): number {
    const end = performance.now() + 10;
    let next = entry;
    do next = this.#kernels.advance(next, 1);
    while (next !== 0 && performance.now() < end);
    return next;
  }

  async close(): Promise<void> {
    await this.#last.catch(() => {});
  }
}
