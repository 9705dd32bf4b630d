/** What the reference gives for an operation on float32 inputs, and how far from it a kernel may be. */
import { NearfieldError } from '../../../base/error.ts';
import type { Operation } from '../../../graph.ts';
import type { LayerCache } from '../../reference/layer-cache.ts';
import { runOperation } from '../../reference/op-table.ts';
import { denseRows, type Rows } from '../../reference/rows.ts';
import type { StepTables } from '../../reference/step-tables.ts';

export const rowsOf = (values: ArrayLike<number>, width: number): Rows =>
  denseRows(Float64Array.from(values), width);

interface Surroundings {
  readonly step?: StepTables;
  readonly cache?: LayerCache;
}

const noStep: StepTables = { rows: [], selected: [], sequences: [], moves: [] };

export function referenceResult(
  operation: Operation,
  operands: readonly Rows[],
  length: number,
  { step = noStep, cache }: Surroundings = {},
): Float64Array {
  const output = new Float64Array(length);
  runOperation({
    ...{ operation, operands, output, step },
    cache: () => {
      if (cache) return cache;
      throw new NearfieldError('internal', `The check of ${operation.op} has no cache`);
    },
  });
  return output;
}

/** A share of each value, and as much of `least`. Far more than rounding takes, far less than what a wrong kernel gives. */
export const near = (expected: Float64Array, share = 1e-4, least = 1): Float64Array =>
  expected.map((value) => share * (least + Math.abs(value)));
