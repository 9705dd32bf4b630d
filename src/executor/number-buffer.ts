/** Numbers read from the arena into memory that is reused and grows to the most that was asked for. */
import { NearfieldError } from '../base/error.ts';
import type { StorageForm } from '../plan.ts';

export type Numbers = Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer>;

export class NumberBuffer {
  readonly #wide: boolean;
  #values: Numbers;
  #bytes: Uint8Array;

  /** Throws `unsupported` for a form that is not one float after the other. */
  constructor(form: StorageForm) {
    if (form.blockValues !== 1 || (form.blockBytes !== 4 && form.blockBytes !== 8)) {
      throw new NearfieldError('unsupported', `Results in the form ${form.name} cannot be read`);
    }
    this.#wide = form.blockBytes === 8;
    this.#values = this.#wide ? new Float64Array(0) : new Float32Array(0);
    this.#bytes = new Uint8Array(this.#values.buffer);
  }

  /** Exactly the values of the last `resize`; the same object as long as their number is the same. */
  get values(): Numbers {
    return this.#values;
  }

  /** The bytes of `count` values from `first` on. */
  bytes(first: number, count: number): Uint8Array {
    const unit = this.#values.BYTES_PER_ELEMENT;
    const whole = first === 0 && count === this.#values.length;
    return whole ? this.#bytes : this.#bytes.subarray(first * unit, (first + count) * unit);
  }

  resize(count: number): void {
    if (this.#values.length === count) return;
    const needed = count * this.#values.BYTES_PER_ELEMENT;
    const { buffer } = this.#values;
    const enough = buffer.byteLength >= needed ? buffer : new ArrayBuffer(needed);
    this.#values = this.#wide ? new Float64Array(enough, 0, count) : new Float32Array(enough, 0, count);
    this.#bytes = new Uint8Array(enough, 0, needed);
  }
}
