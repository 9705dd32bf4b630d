/** Frequencies of a rotation as kernels take them. */

/** Turns per position as 64-bit fractions, the higher word first. */
export function turnsOf(frequencies: readonly number[]): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(2 * frequencies.length);
  frequencies.forEach((frequency, pair) => {
    const turns = frequency / (2 * Math.PI);
    const high = (turns - Math.floor(turns)) * 2 ** 32;
    words[2 * pair] = Math.floor(high);
    words[2 * pair + 1] = Math.floor((high - Math.floor(high)) * 2 ** 32);
  });
  return words;
}
