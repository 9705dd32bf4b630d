/** The memory budget: one ceiling for everything an engine holds; plan, cache and weights reserve from it before they allocate. */
import { NearfieldError } from './error.ts';
import { printBytes } from './print-bytes.ts';

export interface Budget {
  /** Infinity for none. */
  readonly limitBytes: number;
  readonly reservedBytes: number;
  /** Another limit from now on. Throws `out-of-budget` where more is reserved, and keeps the one it had. */
  change(limitBytes: number): void;
  /**
   * Throws `out-of-budget` naming `purpose`, what it needs, by how much that is too much, and the smallest budget that
   * would do; `remedy` is what the caller knows besides ("a context of 2048 rows would fit").
   */
  reserve(bytes: number, purpose: string, remedy?: string): Reservation;
}

export interface Reservation {
  readonly bytes: number;
  /** Throws as `reserve` does, and then keeps the size it had. */
  resize(bytes: number): void;
  /** Harmless when repeated. */
  release(): void;
}

/** A budget of `limitBytes`; Infinity refuses nothing and still counts. */
export function openBudget(limitBytes: number = Number.POSITIVE_INFINITY): Budget {
  expectBytes(limitBytes);
  return new CountedBudget(limitBytes);
}

function expectBytes(limitBytes: number): void {
  if (limitBytes >= 0) return;
  throw new NearfieldError('bad-argument', `A memory budget is a number of bytes, not ${limitBytes}`);
}

class CountedBudget implements Budget {
  limitBytes: number;
  /** Bytes by purpose, in order of first use. */
  readonly #held = new Map<string, number>();

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  get reservedBytes(): number {
    let sum = 0;
    for (const bytes of this.#held.values()) sum += bytes;
    return sum;
  }

  change(limitBytes: number): void {
    expectBytes(limitBytes);
    const held = this.reservedBytes;
    if (held > limitBytes) {
      throw new NearfieldError(
        'out-of-budget',
        `A memory budget of ${printBytes(limitBytes)} is too small for what is held${this.#inUse()}; ` +
          `${held} bytes (${printBytes(held)}) would do, or load the model again`,
      );
    }
    this.limitBytes = limitBytes;
  }

  reserve(bytes: number, purpose: string, remedy?: string): Reservation {
    const change = (from: number, to: number): void => this.#change(from, to, purpose, remedy);
    change(0, bytes);
    let [held, released] = [bytes, false];
    return {
      get bytes() {
        return held;
      },
      resize(wanted) {
        if (released) throw new NearfieldError('internal', `The reservation of ${purpose} is released`);
        change(held, wanted);
        held = wanted;
      },
      release() {
        if (!released) change(held, 0);
        [held, released] = [0, true];
      },
    };
  }

  #change(from: number, to: number, purpose: string, remedy: string | undefined): void {
    if (!(to >= 0)) throw new NearfieldError('internal', `${purpose} reserves ${to} bytes`);
    const left = this.limitBytes - this.reservedBytes;
    if (to - from > left) this.#refuse(to - from, left, purpose, remedy);
    const sum = (this.#held.get(purpose) ?? 0) + to - from;
    if (sum === 0) this.#held.delete(purpose);
    else this.#held.set(purpose, sum);
  }

  #inUse(): string {
    const holders = [...this.#held].map(([name, held]) => `${name} ${printBytes(held)}`);
    return holders.length > 0 ? ` (in use: ${holders.join(', ')})` : '';
  }

  #refuse(bytes: number, left: number, purpose: string, remedy: string | undefined): never {
    const enough = this.reservedBytes + bytes;
    throw new NearfieldError(
      'out-of-budget',
      `No room for ${purpose}: it needs ${printBytes(bytes)}, but ${printBytes(left)} of the memory budget of ` +
        `${printBytes(this.limitBytes)} is left${this.#inUse()}, ${printBytes(bytes - left)} too little; ` +
        `a budget of ${enough} bytes (${printBytes(enough)}) would do${remedy ? `, or ${remedy}` : ''}`,
    );
  }
}
