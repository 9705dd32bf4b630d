/**
 * Brings a machine back that was lost: opened anew, the weights packed again. Where it does not come back, or goes at once
 * again, another one takes over. Sessions evaluate their tokens again.
 */
import type { Backend } from '../backend.ts';
import { NearfieldError } from '../base/error.ts';

export interface RecoveryMeans {
  /** The machine at present. */
  backend(): Backend;
  repack(): Promise<void>;
  /** Has another machine do the work from now on; undefined where there is none. */
  readonly takeOver: ((reason: string) => Promise<void>) | undefined;
}

export class Recovery {
  readonly #means: RecoveryMeans;
  #epoch = 0;
  #underWay: Promise<void> | undefined;

  /** Undefined for machines that are not lost as long as the process is there. */
  static of(means: RecoveryMeans): Recovery | undefined {
    return means.backend().recover && new Recovery(means);
  }

  private constructor(means: RecoveryMeans) {
    this.#means = means;
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
    return this.#means.backend().isLost === true;
  }

  /** Gone, or on its way back. */
  get isLost(): boolean {
    return this.isNeeded || this.#underWay !== undefined;
  }

  /** One for all that ask meanwhile. `isAgain`: it has just been brought back. Rejects with `backend` where nothing is left to compute with. */
  recover(cause: unknown, isAgain: boolean): Promise<void> {
    if (!this.#underWay) {
      this.#epoch++;
      this.#underWay = this.#bringBack(cause, isAgain).finally(() => {
        this.#underWay = undefined;
      });
      // Those who began it wait for it; nobody else has to.
      this.#underWay.catch(() => {});
    }
    return this.#underWay;
  }

  async #bringBack(cause: unknown, isAgain: boolean): Promise<void> {
    const { takeOver } = this.#means;
    const reasons = [messageOf(cause)];
    if (takeOver && isAgain) reasons.push('and once more when it had come back');
    if (mayComeBack(cause) && !(takeOver && isAgain)) {
      try {
        await this.#means.backend().recover?.();
        await this.#means.repack();
        return;
      } catch (error) {
        reasons.push(`and it did not come back: ${messageOf(error)}`);
      }
    }
    try {
      if (takeOver) return await takeOver(reasons.join(', '));
    } catch (error) {
      reasons.push(`and nothing could take over: ${messageOf(error)}`);
    }
    throw new NearfieldError('backend', `${reasons.join(', ')}; load the model anew`, { cause });
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Not where it has no room for this model, or no kernel that is right: it would not have another time either. */
export const mayComeBack = (failure: unknown): boolean =>
  !(failure instanceof NearfieldError) || failure.code === 'backend';

/** A device that is lost while weights go to it gets them once more, and those that it had before by `repack`. */
export async function survivingLoss<T>(
  backend: Backend,
  load: () => Promise<T>,
  repack?: () => Promise<void> | undefined,
): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if (!backend.isLost || !backend.recover || !mayComeBack(error)) throw error;
    await backend.recover();
    await repack?.();
    return load();
  }
}
