/** A table of float64 rows: an activation in the arena, or a weight decoded row by row. */
export interface Rows {
  readonly count: number;
  readonly width: number;
  /** Row `index`, `width` values; for a weight valid until the next call. Throws RangeError beyond `count`. */
  row(index: number): Float64Array;
}

/** Views into row-major data of any number of rows. */
export function denseRows(data: Float64Array, width: number): Rows {
  const count = width === 0 ? 0 : data.length / width;
  return {
    count,
    width,
    row(index) {
      if (!(index >= 0 && index < count)) throw new RangeError(`Row ${index} of ${count}`);
      return data.subarray(index * width, (index + 1) * width);
    },
  };
}
