/**
 * The scale of a block whose values are scale · level: looks for the least Σ weight · (value − scale · level)².
 *
 * With the levels given the best scale is Σ w v l / Σ w l² (least squares), which takes (Σ w v l)² / Σ w l² away of
 * Σ w v². So scales are tried that lay the value of largest magnitude on or beside an end of the levels, the low one and
 * the high one; the best is refined by rounding and solving in turn.
 */
import type { Levels } from './levels.ts';
import { type CloseEncoder, WeightedValues } from './weighted-values.ts';

/** How far beyond the end of the levels the largest value is laid, as a share of the end. */
const trials: readonly number[] = [0, -0.12, -0.08, -0.04, 0.04, 0.08, 0.12, 0.16, 0.2, 0.25, 0.3];
const mostRefinements = 4;

interface Found {
  scale: number;
  /** What it takes away of Σ w v². */
  gain: number;
}

/** Has `write` put each block, of 32 values from `first` on, at `at` with the scale that was found. */
export function encodeByScale(
  levels: Levels,
  blockBytes: number,
  write: (
    source: Float32Array | Float64Array,
    first: number,
    scale: number,
    target: Uint8Array,
    at: number,
  ) => void,
): CloseEncoder {
  return (source, sourceOffset, target, targetOffset, blockCount, importance) => {
    const values = new WeightedValues(32);
    for (let block = 0; block < blockCount; block++) {
      values.load({ source, sourceOffset, blockCount, importance }, block);
      const scale = searchScale(values, 0, 32, levels);
      write(source, sourceOffset + block * 32, scale, target, targetOffset + block * blockBytes);
    }
  };
}

/** The best scale found for `count` values from `first` on; zero where all are zero. */
export function searchScale(block: WeightedValues, first: number, count: number, levels: Levels): number {
  const { values } = block;
  let extreme = 0;
  for (let i = 0; i < count; i++) {
    const value = values[first + i] ?? 0;
    if (Math.abs(value) > Math.abs(extreme)) extreme = value;
  }
  if (extreme === 0) return 0;
  const best: Found = { gain: -1, scale: extreme / levels.lowest };
  for (const end of [levels.lowest, levels.highest]) {
    for (const beyond of trials) {
      tryScale(block, first, count, levels, extreme / (end * (1 + beyond)), best);
    }
  }
  for (let round = 0; round < mostRefinements; round++) {
    if (!tryScale(block, first, count, levels, best.scale, best)) break;
  }
  return best.scale;
}

/** Takes the levels that `scale` gives, and of those the best scale; keeps it in `best` and says so where it gains more. */
function tryScale(
  { values, weights }: WeightedValues,
  first: number,
  count: number,
  { lowest, resolution, nearest }: Levels,
  scale: number,
  best: Found,
): boolean {
  const inverse = resolution / scale;
  const shift = 0.5 - lowest * resolution;
  const top = nearest.length - 1;
  let [products, squares] = [0, 0];
  for (let i = 0; i < count; i++) {
    const value = values[first + i] ?? 0;
    const place = value * inverse + shift;
    const level = nearest[place <= 0 ? 0 : place >= top ? top : place | 0] ?? 0;
    const weighted = (weights[first + i] ?? 0) * level;
    products += weighted * value;
    squares += weighted * level;
  }
  const gain = squares > 0 ? (products * products) / squares : 0;
  if (!(gain > best.gain)) return false;
  best.gain = gain;
  best.scale = squares > 0 ? products / squares : scale;
  return true;
}

/** Σ weight · (value − scale · level)² with each value at its nearest level. */
export function scaleError(
  { values, weights }: WeightedValues,
  first: number,
  count: number,
  { lowest, resolution, nearest }: Levels,
  scale: number,
): number {
  const inverse = scale === 0 ? 0 : resolution / scale;
  const shift = 0.5 - lowest * resolution;
  const top = nearest.length - 1;
  let sum = 0;
  for (let i = 0; i < count; i++) {
    const value = values[first + i] ?? 0;
    const place = value * inverse + shift;
    const error = value - scale * (nearest[place <= 0 ? 0 : place >= top ? top : place | 0] ?? 0);
    sum += (weights[first + i] ?? 0) * error * error;
  }
  return sum;
}
