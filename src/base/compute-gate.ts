/**
 * Who may use the processor's cores: of two executors on the same cores one at a time. It takes no part in the work, so
 * what one of them waits for (a read, say) is spent outside, where the other may compute. The target's goes first: it
 * keeps its turn while it has work ready, the draft's gives it back after every step.
 */
import { NearfieldError } from './error.ts';

/** One executor's end of a gate. It has one turn, or waits for one, or neither. */
export interface ComputeTurn {
  /** True: the cores are this end's until `leave`. False: `begin` is called once, when they are. */
  enter(begin: () => void): boolean;
  /** Waits no longer: `begin` will not be called. Harmless when nothing waits. */
  withdraw(): void;
  /** Gives the cores back; the other end's turn begins where it waits for one. */
  leave(): void;
}

export interface ComputeGate {
  readonly target: ComputeTurn;
  readonly draft: ComputeTurn;
}

/** Allocates nothing per turn. */
export function openComputeGate(): ComputeGate {
  const cores: Cores = { holder: undefined, waiting: undefined, begin: undefined };
  return { target: new GateEnd(cores), draft: new GateEnd(cores) };
}

interface Cores {
  holder: GateEnd | undefined;
  /** At most one can wait: there are two, and the other has the cores. */
  waiting: GateEnd | undefined;
  begin: (() => void) | undefined;
}

class GateEnd implements ComputeTurn {
  readonly #cores: Cores;

  constructor(cores: Cores) {
    this.#cores = cores;
  }

  enter(begin: () => void): boolean {
    const cores = this.#cores;
    if (cores.holder === this || cores.waiting === this) {
      throw new NearfieldError('internal', 'An executor asked for the cores twice');
    }
    if (cores.holder) {
      cores.waiting = this;
      cores.begin = begin;
      return false;
    }
    cores.holder = this;
    return true;
  }

  withdraw(): void {
    if (this.#cores.waiting === this) this.#cores.waiting = undefined;
  }

  leave(): void {
    const cores = this.#cores;
    if (cores.holder !== this) {
      throw new NearfieldError('internal', 'An executor gave back cores that it does not have');
    }
    cores.holder = cores.waiting;
    cores.waiting = undefined;
    if (cores.holder) cores.begin?.();
  }
}
