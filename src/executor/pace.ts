/** Gaps in the work of an executor, in which its threads sleep and the host's own work has the processors. */

export interface PaceOptions {
  /** A gap follows after so much work; the program under way then is not cut. */
  readonly workMs: number;
  readonly gapMs: number;
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export class Pace {
  readonly #options: PaceOptions;
  readonly #sleep: (ms: number) => Promise<void>;
  #workedMs = 0;

  constructor(options: PaceOptions, sleepFor: (ms: number) => Promise<void> = sleep) {
    this.#options = options;
    this.#sleep = sleepFor;
  }

  worked(ms: number): void {
    this.#workedMs += ms;
  }

  /** Before a program: undefined where it may begin, else it waits. */
  gap(): Promise<void> | undefined {
    if (this.#workedMs < this.#options.workMs) return undefined;
    this.#workedMs = 0;
    return this.#sleep(this.#options.gapMs);
  }
}
