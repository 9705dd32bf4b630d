/**
 * Scale and offset of a block whose values are offset + scale · code, codes 0…`largestCode`: looks for the least
 * Σ weight · (value − offset − scale · code)².
 *
 * With the codes given both follow from two linear equations (weighted least squares). Codes are tried that spread the
 * values over a little more or less than all of the range; the best are refined by rounding and solving in turn.
 */

import { type CloseEncoder, WeightedValues } from './weighted-values.ts';

/** How many codes more or fewer than there are the range of values is spread over, as a share of them. */
const trials: readonly number[] = [0, -0.16, -0.12, -0.08, -0.04, 0.04, 0.08, 0.12, 0.16, 0.2, 0.25, 0.3];
const mostRefinements = 4;

export interface Line {
  scale: number;
  offset: number;
  /** What it leaves. */
  error: number;
}

/** Has `write` put each block, of `blockValues` from `first` on, at `at` with the line that was found. */
export function encodeByLine(
  largestCode: number,
  { blockValues, blockBytes }: { readonly blockValues: number; readonly blockBytes: number },
  write: (
    source: Float32Array | Float64Array,
    first: number,
    line: Line,
    target: Uint8Array,
    at: number,
  ) => void,
): CloseEncoder {
  return (source, sourceOffset, target, targetOffset, blockCount, importance) => {
    const values = new WeightedValues(blockValues);
    const line: Line = { scale: 0, offset: 0, error: 0 };
    for (let block = 0; block < blockCount; block++) {
      values.load({ source, sourceOffset, blockCount, importance }, block);
      searchLine(values, 0, blockValues, largestCode, true, line);
      write(source, sourceOffset + block * blockValues, line, target, targetOffset + block * blockBytes);
    }
  };
}

/**
 * Leaves the best line found in `best`; its scale is not negative. With `mayRise` false the offset is at most zero, as
 * formats want it that subtract a minimum.
 */
export function searchLine(
  block: WeightedValues,
  first: number,
  count: number,
  largestCode: number,
  mayRise: boolean,
  best: Line,
): void {
  const { values } = block;
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let i = 0; i < count; i++) {
    const value = values[first + i] ?? 0;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (!mayRise && low > 0) low = 0;
  best.scale = best.error = 0;
  best.offset = low;
  if (!(high > low)) return;
  best.error = Number.POSITIVE_INFINITY;
  for (const beyond of trials) {
    const scale = (high - low) / (largestCode * (1 + beyond));
    // About the middle, so that both ends are cut alike; and from the low end, which often is zero.
    const offset = (low + high - scale * largestCode) / 2;
    tryLine(block, first, count, largestCode, mayRise, scale, mayRise ? offset : Math.min(0, offset), best);
    tryLine(block, first, count, largestCode, mayRise, scale, low, best);
  }
  for (let round = 0; round < mostRefinements; round++) {
    if (!tryLine(block, first, count, largestCode, mayRise, best.scale, best.offset, best)) break;
  }
}

/** Takes the codes that a line gives, and of those the best line; keeps it in `best` and says so where it leaves less error. */
function tryLine(
  { values, weights }: WeightedValues,
  first: number,
  count: number,
  largestCode: number,
  mayRise: boolean,
  scale: number,
  offset: number,
  best: Line,
): boolean {
  const inverse = 1 / scale;
  let [sumW, sumV, sumVV, sumC, sumCC, sumCV] = [0, 0, 0, 0, 0, 0];
  for (let i = 0; i < count; i++) {
    const value = values[first + i] ?? 0;
    const weight = weights[first + i] ?? 0;
    const place = (value - offset) * inverse + 0.5;
    const code = place <= 0 ? 0 : place >= largestCode ? largestCode : place | 0;
    const weightedCode = weight * code;
    const weightedValue = weight * value;
    sumW += weight;
    sumV += weightedValue;
    sumVV += weightedValue * value;
    sumC += weightedCode;
    sumCC += weightedCode * code;
    sumCV += weightedCode * value;
  }
  const determinant = sumW * sumCC - sumC * sumC;
  let [newScale, newOffset] = [scale, offset];
  if (determinant > 0) {
    newScale = (sumW * sumCV - sumC * sumV) / determinant;
    newOffset = (sumCC * sumV - sumC * sumCV) / determinant;
  }
  if (!mayRise && newOffset > 0) {
    newOffset = 0;
    newScale = sumCC > 0 ? sumCV / sumCC : scale;
  }
  const error =
    sumVV -
    2 * (newScale * sumCV + newOffset * sumV) +
    newScale * newScale * sumCC +
    2 * newScale * newOffset * sumC +
    newOffset * newOffset * sumW;
  if (!(error < best.error)) return false;
  best.error = error;
  best.scale = newScale;
  best.offset = newOffset;
  return true;
}

/** Σ weight · (value − offset − scale · code)² with each value at its nearest code. */
export function lineError(
  { values, weights }: WeightedValues,
  first: number,
  count: number,
  largestCode: number,
  scale: number,
  offset: number,
): number {
  const inverse = scale === 0 ? 0 : 1 / scale;
  let sum = 0;
  for (let i = 0; i < count; i++) {
    const value = values[first + i] ?? 0;
    const place = (value - offset) * inverse + 0.5;
    const code = place <= 0 ? 0 : place >= largestCode ? largestCode : place | 0;
    const error = value - offset - scale * code;
    sum += (weights[first + i] ?? 0) * error * error;
  }
  return sum;
}
