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
  readonly #clock: () => number;
  #workedMs = 0;
  /** Pieces of work that are with the machine one behind the other, when the last of them is done, and what one takes. */
  #underWay = 0;
  #latest: Promise<void> = Promise.resolve();
  #latestEndMs = 0;
  #pieceMs = 0;

  constructor(options: PaceOptions, sleepFor = sleep, clock: () => number = () => performance.now()) {
    this.#options = options;
    this.#sleep = sleepFor;
    this.#clock = clock;
  }

  worked(ms: number): void {
    this.#workedMs += ms;
  }

  /** Work that nobody waits for before more is asked for: counts from now, or from the end of what is before it. */
  follow(done: Promise<unknown>): void {
    const beganMs = this.#clock();
    this.#underWay++;
    const end = (): void => {
      this.#underWay--;
      const endMs = this.#clock();
      this.#pieceMs = endMs - Math.max(beganMs, this.#latestEndMs);
      this.#latestEndMs = endMs;
      this.worked(this.#pieceMs);
    };
    this.#latest = done.then(end, end);
  }

  /** Whether there will have been enough work for a gap once what is under way is done. */
  get isDue(): boolean {
    return this.#workedMs + this.#underWay * this.#pieceMs >= this.#options.workMs;
  }

  /** Before a program: undefined where it may begin, else it waits. */
  gap(): Promise<void> | undefined {
    if (!this.isDue) return undefined;
    return this.#underWay > 0 ? this.#latest.then(() => this.#rest()) : this.#rest();
  }

  #rest(): Promise<void> | undefined {
    if (this.#workedMs < this.#options.workMs) return undefined;
    this.#workedMs = 0;
    return this.#sleep(this.#options.gapMs);
  }
}
