/** Scale and bias of a group of E0M4, by search for the least sum of weighted squared errors. */
import { floatFromHalf, halfFromFloat } from '../base/half.ts';
import { largest, smallest } from './extremes.ts';

export interface E0m4Fit {
  scale: number;
  /** What lies midway between the lowest and the highest level. */
  middle: number;
}

/** 1 + 7.5/16, midway between codes 7 and 8; a bias is the middle less so many scales. */
export const middleLevel = 1.46875;

/** Shares of the range that the levels are first spread over, and how often codes and line are then made to fit each other. */
const spreads = [1.13, 1.1, 1.067, 1.03, 1, 0.96, 0.92, 0.88];
const refinements = 3;

/**
 * Fills `weights`, one for each value of a group: the value's importance (all alike where there is none) times sqrt(σ² + v²), σ the
 * root mean square of the group.
 */
export function weigh(
  source: Float32Array | Float64Array,
  first: number,
  importance: Float32Array | undefined,
  firstImportance: number,
  weights: Float64Array,
): void {
  let squares = 0;
  for (let i = 0; i < weights.length; i++) squares += (source[first + i] ?? 0) ** 2;
  const variance = squares / weights.length;
  for (let i = 0; i < weights.length; i++) {
    const own = importance?.[firstImportance + i] ?? 1;
    weights[i] = own * Math.sqrt(variance + (source[first + i] ?? 0) ** 2);
  }
}

/**
 * Every spread of the levels about the middle of the range is tried; with the codes it gives, scale and middle are the weighted
 * least squares line; and so on in turn. What is judged are the halves that will be stored. Lines that leave an error above
 * 1/16 of the range, twice what the plain mapping does, are passed over.
 */
export function closeFit(
  source: Float32Array | Float64Array,
  first: number,
  count: number,
  weights: Float64Array,
): E0m4Fit {
  const low = smallest(source, first, count);
  const range = largest(source, first, count) - low;
  const best = { scale: range, middle: low + range / 2 };
  if (!(range > 0 && Number.isFinite(range))) return best;
  let least = Number.POSITIVE_INFINITY;
  const line: E0m4Fit = { scale: 0, middle: 0 };
  for (const spread of spreads) {
    line.scale = spread * range;
    line.middle = low + range / 2;
    for (let round = 0; round <= refinements; round++) {
      const { scale, middle } = line;
      const error = refit(
        source,
        first,
        count,
        weights,
        line,
        spread === 1 && round === 0 ? range : range / 16,
      );
      if (!(error < least)) continue;
      least = error;
      best.scale = scale;
      best.middle = middle;
    }
  }
  return best;
}

/**
 * The error that a line leaves, infinite where one value's exceeds `limit` by more than halves round; `line` becomes the one that
 * is best for its codes.
 */
function refit(
  source: Float32Array | Float64Array,
  first: number,
  count: number,
  weights: Float64Array,
  line: E0m4Fit,
  limit: number,
): number {
  const scale = floatFromHalf(halfFromFloat(line.scale));
  const bias = floatFromHalf(halfFromFloat(line.middle - middleLevel * scale));
  const worst = limit + (scale + Math.abs(bias)) / 2048;
  const [step, inverse] = [scale / 16, 16 / scale];
  let [sum, sumX, sumV, sumXX, sumXV, error, largestError] = [0, 0, 0, 0, 0, 0, 0];
  for (let i = 0; i < count; i++) {
    const value = source[first + i] ?? 0;
    const weight = weights[i] ?? 0;
    const code = Math.min(15, Math.max(0, Math.round((value - bias) * inverse - 16)));
    const difference = value - bias - scale - step * code;
    // Codes from the middle.
    const x = code - 7.5;
    sum += weight;
    sumX += weight * x;
    sumV += weight * value;
    sumXX += weight * x * x;
    sumXV += weight * x * value;
    error += weight * difference * difference;
    largestError = Math.max(largestError, Math.abs(difference));
  }
  const determinant = sum * sumXX - sumX * sumX;
  if (determinant > 0) {
    line.scale = (16 * (sum * sumXV - sumX * sumV)) / determinant;
    line.middle = (sumXX * sumV - sumX * sumXV) / determinant;
  }
  return largestError <= worst ? error : Number.POSITIVE_INFINITY;
}
