/** Compute threads while they start: their scripts come and run while kernels are compiled, then each is told what to compute with. */
import { NearfieldError } from '../../base/error.ts';
import { type HostWorker, holdProcess } from '../../base/platform.ts';
import { firstMessage, type WorkerScript } from '../../base/worker-script.ts';
import type { ComputeStart } from './control.ts';

export class StartedThreads {
  readonly #script: WorkerScript;
  readonly #workers: HostWorker[] = [];
  readonly #running: Promise<unknown>;
  readonly #hold = holdProcess();

  constructor(script: WorkerScript, count: number) {
    this.#script = script;
    this.#hold.ref();
    const starts = Array.from({ length: count }, async (_, thread) => {
      const worker = script.spawn(`compute ${thread}`);
      this.#workers.push(worker);
      await firstMessage(worker);
    });
    this.#running = Promise.all(starts);
    // Heard of when it is waited for.
    this.#running.catch(() => {});
  }

  /** The workers, each with the kernels in that memory. Throws `backend` where one does not start; then all are ended. */
  async join(start: Omit<ComputeStart, 'thread'>): Promise<readonly HostWorker[]> {
    try {
      await this.#running;
      await Promise.all(
        this.#workers.map((worker, thread) => {
          const ready = firstMessage(worker);
          worker.post({ ...start, thread } satisfies ComputeStart);
          return ready;
        }),
      );
      this.#hold.unref();
      return this.#workers;
    } catch (cause) {
      await this.end();
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new NearfieldError(
        'backend',
        `A compute thread did not start from ${this.#script.address} (${reason}); set assets.computeWorker to where compute-worker.js lies`,
        { cause },
      );
    }
  }

  /** For whoever cannot go on to `join`. */
  async end(): Promise<void> {
    this.#hold.unref();
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}
