/** How many bytes a tensor of given sizes takes, and whether it may exist at all. */
import type { NumberFormat } from '../format.ts';

/** Bytes of the tensor, or, as a string to follow its name, what is wrong with it. Blocks must fill the rows. */
export function tensorByteLength(format: NumberFormat, shape: readonly number[]): number | string {
  const rowLength = shape.at(-1);
  if (rowLength === undefined || shape.length > 4)
    return `has ${shape.length} dimensions; 1 to 4 are allowed`;
  const shown = `[${shape.join(', ')}]`;
  if (shape.some((size) => !Number.isSafeInteger(size) || size < 1))
    return `has the impossible shape ${shown}`;
  const { name, blockValues, blockBytes } = format;
  if (rowLength % blockValues !== 0) {
    return `has rows of ${rowLength} values, which blocks of ${blockValues} (${name}) do not fill`;
  }
  const valueCount = shape.reduce((product, size) => product * size, 1);
  const byteLength = (valueCount / blockValues) * blockBytes;
  const countable = Number.isSafeInteger(valueCount) && Number.isSafeInteger(byteLength);
  return countable ? byteLength : `has the shape ${shown}, more values than can be counted`;
}
