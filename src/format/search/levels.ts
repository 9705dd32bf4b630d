/** The levels that a block's codes stand for, with a table that finds the nearest. */

export interface Levels {
  readonly lowest: number;
  readonly highest: number;
  /** Entries of `nearest` for a step of one. */
  readonly resolution: number;
  /** Entry i: the level nearest to lowest + i / resolution. */
  readonly nearest: Float64Array;
}

/** The integers from `lowest` to `highest`. */
export function integerLevels(lowest: number, highest: number): Levels {
  const nearest = Float64Array.from({ length: highest - lowest + 1 }, (_, i) => lowest + i);
  return { lowest, highest, resolution: 1, nearest };
}

/** Integers that are not evenly spaced, ascending. Between two of them the table is right to a quarter of a step. */
export function unevenLevels(levels: ArrayLike<number>): Levels {
  const sorted = Array.from(levels);
  const [lowest = 0, highest = 0] = [sorted[0], sorted.at(-1)];
  const resolution = 2;
  const nearest = Float64Array.from({ length: (highest - lowest) * resolution + 1 }, (_, i) => {
    const place = lowest + i / resolution;
    return sorted.reduce((best, level) => (Math.abs(level - place) < Math.abs(best - place) ? level : best));
  });
  return { lowest, highest, resolution, nearest };
}
