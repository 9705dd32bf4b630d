/**
 * A thread that reads a stored file into shared memory, a few pieces at a time, in order: disks like that best, and whoever
 * asks is free to compute meanwhile. It sums what it reads, too.
 */
import { NearfieldError } from '../base/error.ts';
import { type HostWorker, holdProcess } from '../base/platform.ts';
import { firstMessage, workerScript } from '../base/worker-script.ts';
import type { StoredFile } from '../store.ts';
import type { ReaderAnswer, ReaderRequest } from './reader-worker.ts';

export interface ReadPiece {
  /** The checksum of what was read (`base/checksum.ts`). */
  readonly sums: readonly [number, number];
  /** When the thread was at it, on this thread's clock. */
  readonly startMs: number;
  readonly endMs: number;
}

interface Waiting {
  resolve(answer: ReaderAnswer): void;
  reject(error: NearfieldError): void;
}

type Request = Extract<ReaderRequest, { readonly call: number }>;

/** Kept apart from the literal below, so that no bundler takes what is relative to it for an asset. */
const here = import.meta.url;

export class ReadingThread {
  readonly #worker: HostWorker;
  readonly #fileName: string;
  readonly #waiting = new Map<number, Waiting>();
  readonly #hold = holdProcess();
  #calls = 0;
  #failure: NearfieldError | undefined;

  private constructor(worker: HostWorker, fileName: string) {
    this.#worker = worker;
    this.#fileName = fileName;
    worker.onMessage((message) => this.#take(message as ReaderAnswer));
    worker.onError((error) => this.#fail(`the thread that reads it failed: ${error.message}`));
  }

  /** Takes the file over for reading; it stays the caller's to close, after the thread. Throws `backend`. */
  static async open(file: StoredFile, override: string | URL | undefined): Promise<ReadingThread> {
    const startBuilt = () =>
      new Worker(new URL('./reader-worker.js', import.meta.url), {
        type: 'module',
        name: 'nearfield-reader',
      });
    const script = workerScript('reader-worker', here, override, startBuilt);
    const place = await file.handOver();
    const held = holdProcess();
    held.ref();
    let worker: HostWorker | undefined;
    try {
      worker = script.spawn('nearfield-reader');
      const ready = firstMessage(worker);
      worker.post({ place } satisfies ReaderRequest);
      await ready;
      return new ReadingThread(worker, file.name);
    } catch (cause) {
      await worker?.terminate();
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new NearfieldError(
        'backend',
        `The reading thread did not start from ${script.address} (${reason}); set assets.readerWorker to where reader-worker.js lies`,
        { cause },
      );
    } finally {
      held.unref();
    }
  }

  /** Fills `target`, a view of shared memory; rejects as `StoredFile.readInto` does, and with `backend` when the thread has ended. */
  async read(offset: number, target: Uint8Array): Promise<ReadPiece> {
    const { sums, startMs, endMs } = await this.#ask({ call: this.#calls++, offset, target });
    const { timeOrigin } = performance;
    return { sums, startMs: startMs - timeOrigin, endMs: endMs - timeOrigin };
  }

  /** As `StoredFile.replace`. */
  async replace(offset: number, bytes: Uint8Array): Promise<void> {
    await this.#ask({ call: this.#calls++, offset, bytes });
  }

  /** Resolves when nothing is read any more; what is asked for by then rejects with `backend`. */
  async close(): Promise<void> {
    this.#fail('it was closed');
    await this.#worker.terminate();
  }

  #ask(request: Request): Promise<ReaderAnswer> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure);
      this.#hold.ref();
      this.#waiting.set(request.call, { resolve, reject });
      this.#worker.post(request);
    });
  }

  #take(answer: ReaderAnswer): void {
    const waiting = this.#waiting.get(answer.call);
    this.#waiting.delete(answer.call);
    if (this.#waiting.size === 0) this.#hold.unref();
    if (!answer.error) waiting?.resolve(answer);
    else waiting?.reject(new NearfieldError(answer.error.code, answer.error.message));
  }

  #fail(reason: string): void {
    this.#failure ??= new NearfieldError('backend', `${this.#fileName} is not read any more: ${reason}`);
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    this.#hold.unref();
    for (const { reject } of waiting) reject(this.#failure);
  }
}
