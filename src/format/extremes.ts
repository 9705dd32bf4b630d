/** The values of a block that decide its scale. */

/** The value of largest magnitude, with its sign; the first of several. */
export function signedExtreme(
  source: Float32Array | Float64Array,
  sourceOffset: number,
  valueCount: number,
): number {
  let extreme = 0;
  let extremeMagnitude = 0;
  for (let i = 0; i < valueCount; i++) {
    const value = source[sourceOffset + i] ?? 0;
    const magnitude = Math.abs(value);
    if (magnitude > extremeMagnitude) {
      extremeMagnitude = magnitude;
      extreme = value;
    }
  }
  return extreme;
}

export function smallest(
  source: Float32Array | Float64Array,
  sourceOffset: number,
  valueCount: number,
): number {
  let result = Number.POSITIVE_INFINITY;
  for (let i = 0; i < valueCount; i++) result = Math.min(result, source[sourceOffset + i] ?? 0);
  return result;
}

export function largest(
  source: Float32Array | Float64Array,
  sourceOffset: number,
  valueCount: number,
): number {
  let result = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < valueCount; i++) result = Math.max(result, source[sourceOffset + i] ?? 0);
  return result;
}
