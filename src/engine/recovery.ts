/** Brings a machine back that was lost: opened anew, the weights packed again; sessions evaluate their tokens again. */
import type { Backend } from '../backend.ts';
import { NearfieldError } from '../base/error.ts';

export class Recovery {
  readonly #backend: Backend;
  readonly #repack: () => Promise<void>;
  #epoch = 0;
  #underWay: Promise<void> | undefined;

  /** Undefined for machines that are not lost as long as the process is there. */
  static of(backend: Backend, repack: () => Promise<void>): Recovery | undefined {
    return backend.recover && new Recovery(backend, repack);
  }

  private constructor(backend: Backend, repack: () => Promise<void>) {
    this.#backend = backend;
    this.#repack = repack;
  }

  /** Counts losses: what was computed before the present one is gone. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Undefined where nothing is being brought back. */
  get underWay(): Promise<void> | undefined {
    return this.#underWay;
  }

  get isNeeded(): boolean {
    return this.#backend.isLost === true;
  }

  /** One for all that ask meanwhile. Rejects with `backend` where the machine does not come back. */
  recover(cause: unknown): Promise<void> {
    if (!this.#underWay) {
      this.#epoch++;
      this.#underWay = this.#bringBack(cause).finally(() => {
        this.#underWay = undefined;
      });
      // Those who began it wait for it; nobody else has to.
      this.#underWay.catch(() => {});
    }
    return this.#underWay;
  }

  async #bringBack(cause: unknown): Promise<void> {
    try {
      await this.#backend.recover?.();
      await this.#repack();
    } catch (error) {
      const [before, after] = [cause, error].map((one) => (one instanceof Error ? one.message : String(one)));
      throw new NearfieldError(
        'backend',
        `${before}, and it did not come back: ${after}; load the model anew`,
        {
          cause: error,
        },
      );
    }
  }
}
