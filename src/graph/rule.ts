/** What every operation states of itself: operands, shape, aliasing, and how far a backend may be from the exact result. */
import { NearfieldError } from '../base/error.ts';
import type { CacheSpec, Stage } from '../graph.ts';
import { type Dim, dimsEqual, printTensorType, type TensorType } from '../tensor.ts';

/** How a backend rounds. */
export interface Roundoff {
  /** Half a unit in the last place of the arithmetic: 2^-24 for float32. */
  readonly unit: number;
  /** Largest error of a matmul's input as a share of the largest magnitude in its group: 1/254 for 8 bits, else 0. */
  readonly operand: number;
  /** Values per such group, along K. */
  readonly operandGroup: number;
  /**
   * Largest error of packed weights against the file's values as a share of the largest magnitude in such a group: 2^-11
   * where scales are kept as halves, three times that where halves are kept of an offset too (the two may cancel), else 0.
   */
  readonly weight: number;
  /** Relative error of elementary functions (exp, sin, …). */
  readonly elementary: number;
}

/** One case: exact operands and result in float64, row-major. */
export interface ErrorContext<O> {
  readonly operation: O;
  readonly operands: readonly { readonly data: Float64Array; readonly shape: readonly number[] }[];
  readonly result: Float64Array;
  readonly roundoff: Roundoff;
}

export interface OpRule<O> {
  readonly op: O extends { op: infer Name } ? Name : never;
  /** Part of a step the operation itself belongs to, whatever surrounds it. */
  readonly stage?: Stage;
  /** Reads the step's table of rows (tokens, positions, which rows see which). */
  readonly readsStep: boolean;
  /** What a cache-writing operation keeps of each row; its output then stands for the state of that cache. */
  cacheSpec?(operation: O): CacheSpec;
  /** Whose cache it reads, and how many rows of it at most: those its row sees, Infinity for all. */
  cacheRead?(operation: O): { readonly layer: number; readonly rows: number };
  /** Operands of a product by a weight: what is multiplied, by what, and of a product by chosen experts the routes. */
  readonly product?: { readonly input: number; readonly weight: number; readonly routes?: number };
  /** Operand, a weight, of which a row of the step reads one row alone: that of its token; undefined where there is none. */
  gathers?(operation: O): number | undefined;
  /** Positions it knows, from 0 on; undefined where it takes any. */
  positionCount?(operation: O, operands: readonly TensorType[]): Dim | undefined;
  /** What part of its weights a row reads, where that is not all of them. */
  share?(operation: O): number;
  /** Operand whose buffer the output may take over when nobody reads the operand afterwards. */
  readonly inPlace?: number;
  /** Type of the output; throws `bad-file` where the operands' shapes do not fit together. */
  infer(operation: O, operands: readonly TensorType[], symbols: { rows: Dim; selected: Dim }): TensorType;
  /** Bound on the absolute error of each result value, with the source of its formula beside it. */
  errorBound(context: ErrorContext<O>): Float64Array;
}

export function operandOf(operands: readonly TensorType[], index: number, op: string): TensorType {
  const operand = operands[index];
  if (operand === undefined) throw new NearfieldError('internal', `${op} lacks operand ${index}`);
  return operand;
}

/** Throws unless the two sizes are equal whatever the symbols' values. */
export function expectDim(actual: Dim | undefined, expected: Dim, op: string, operand: TensorType): void {
  if (actual === undefined || !dimsEqual(actual, expected)) {
    throw new NearfieldError(
      'bad-file',
      `${op}: ${printTensorType(operand)} should have a size of ${expected} there`,
    );
  }
}
