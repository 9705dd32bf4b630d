/** Tapes: flat lists of operations that compute threads walk in WebAssembly. Written once per program and symbol values. */
import { NearfieldError } from '../../base/error.ts';
import type { Gating } from '../../graph.ts';
import { type Dim, evaluateDim, multiplyDims } from '../../tensor.ts';

/** Numbers of the operations in `assembly/index.ts`. */
export const operationNumbers = {
  embed: 1,
  norm: 2,
  quantize: 3,
  matmul: 4,
  ropeTable: 5,
  rope: 6,
  cacheWrite: 7,
  ropeCache: 8,
  attention: 9,
  add: 10,
  gated: 11,
  selectRows: 12,
  argmax: 13,
  cacheMove: 14,
  pack: 15,
  packFloats: 16,
  activate: 17,
  scale: 18,
  softcap: 19,
  route: 20,
  expertMatmul: 21,
  expertSum: 22,
} as const;

/** Numbers of the functions in `assembly/activation.ts`; 0 stands for none. */
export const activationNumbers = {
  silu: 1,
  gelu: 2,
  'gelu-tanh': 3,
  relu: 4,
  'relu-squared': 5,
  'swiglu-clamped': 6,
} as const satisfies Record<Gating['activation'], number>;

/** Where a word of the tape counts from. */
export type Base = 'none' | 'arena' | 'step' | { readonly weight: number };

interface SymbolicWord {
  readonly index: number;
  readonly base: Base;
  readonly value: Dim;
}

/** Byte addresses that `instantiate` adds to words of the same base. */
export interface TapeBases {
  readonly arena: number;
  readonly step: number;
  readonly weights: readonly number[];
}

const floatBits = new DataView(new ArrayBuffer(4));

export function bitsOf(value: number): number {
  floatBits.setFloat32(0, value);
  return floatBits.getInt32(0);
}

/** Collects a program's tape: numbers, and words that follow from symbols or from where the program's memory lies. */
export class TapeTemplate {
  readonly #words: number[] = [];
  readonly #symbolic: SymbolicWord[] = [];
  #entry: number | undefined;

  get wordCount(): number {
    return this.#words.length + 1;
  }

  begin(operation: number): this {
    this.#close();
    this.#entry = this.#words.length;
    this.#words.push(operation, 0);
    return this;
  }

  word(value: Dim): this {
    return this.address('none', value);
  }

  float(value: number): this {
    this.#words.push(bitsOf(value));
    return this;
  }

  address(base: Base, offset: Dim): this {
    if (base === 'none' && typeof offset === 'number') {
      this.#words.push(offset);
    } else {
      this.#symbolic.push({ index: this.#words.length, base, value: offset });
      this.#words.push(0);
    }
    return this;
  }

  #close(): void {
    if (this.#entry !== undefined) this.#words[this.#entry + 1] = this.#words.length - this.#entry;
    this.#entry = undefined;
  }

  /** Writes the tape for these symbol values and addresses. */
  instantiate(target: Int32Array, symbols: readonly number[], bases: TapeBases): void {
    this.#close();
    target.set(this.#words);
    target[this.#words.length] = 0;
    for (const { index, base, value } of this.#symbolic) {
      target[index] = evaluateDim(value, symbols) + baseAddress(base, bases);
    }
  }
}

function baseAddress(base: Base, bases: TapeBases): number {
  if (base === 'none') return 0;
  if (base === 'arena') return bases.arena;
  if (base === 'step') return bases.step;
  const address = bases.weights[base.weight];
  if (address === undefined)
    throw new NearfieldError('internal', 'A program was submitted without all of its weights');
  return address;
}

/** Values of a `[rows, columns]` activation. */
export function valueCount(shape: readonly Dim[]): Dim {
  return multiplyDims(...shape);
}
