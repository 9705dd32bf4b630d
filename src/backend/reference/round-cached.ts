/** What is left of a row of keys or values once it is kept as a cache type. */
import { floatFromHalf, halfFromFloat } from '../../base/half.ts';
import type { CacheType } from '../../graph.ts';

const largestHalf = 65504;

/** Values that share a scale in `q8_0`. */
const groupValues = 32;

/**
 * Rounds in place: `f32` leaves float64 as it is; `f16` to the nearest half, the largest finite one at most; `q8_0` to
 * multiples of a group's largest magnitude / 127, the steps in float32 as kernels take them.
 */
export function roundCached(type: CacheType, row: Float64Array): void {
  if (type === 'f16') {
    row.forEach((value, index) => {
      row[index] = floatFromHalf(halfFromFloat(Math.max(-largestHalf, Math.min(largestHalf, value))));
    });
  } else if (type === 'q8_0') {
    for (let first = 0; first < row.length; first += groupValues) {
      roundGroup(row.subarray(first, first + groupValues));
    }
  }
}

function roundGroup(group: Float64Array): void {
  const most = group.reduce((largest, value) => Math.max(largest, Math.abs(Math.fround(value))), 0);
  const scale = Math.fround(most / 127);
  const inverse = Math.fround(1 / scale);
  group.forEach((value, index) => {
    group[index] = most > 1e-30 ? scale * nearestEven(Math.fround(Math.fround(value) * inverse)) : most * 0;
  });
}

function nearestEven(value: number): number {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
