/**
 * The eight scales and eight minimums of Q4_K and Q5_K, 6 bits each, in 12 bytes: bytes 0…3 hold scales 0…3 in their low
 * six bits, bytes 4…7 minimums 0…3; the top two bits of those eight belong to scales and minimums 4…7, whose low four
 * bits share bytes 8…11 (scale low, minimum high).
 */

/** Scale of sub-block 0…7, an integer 0…63. */
export function scaleCodeAt(source: Uint8Array, at: number, subBlock: number): number {
  if (subBlock < 4) return (source[at + subBlock] ?? 0) & 63;
  return ((source[at + subBlock + 4] ?? 0) & 15) | (((source[at + subBlock - 4] ?? 0) >> 6) << 4);
}

/** Minimum of sub-block 0…7, an integer 0…63. */
export function minimumCodeAt(source: Uint8Array, at: number, subBlock: number): number {
  if (subBlock < 4) return (source[at + subBlock + 4] ?? 0) & 63;
  return ((source[at + subBlock + 4] ?? 0) >> 4) | (((source[at + subBlock] ?? 0) >> 6) << 4);
}

export function packSixBitScales(
  scaleCodes: Uint8Array,
  minimumCodes: Uint8Array,
  target: Uint8Array,
  at: number,
): void {
  for (let j = 0; j < 4; j++) {
    const [scale, minimum] = [scaleCodes[j] ?? 0, minimumCodes[j] ?? 0];
    const [highScale, highMinimum] = [scaleCodes[j + 4] ?? 0, minimumCodes[j + 4] ?? 0];
    target[at + j] = scale | ((highScale >> 4) << 6);
    target[at + 4 + j] = minimum | ((highMinimum >> 4) << 6);
    target[at + 8 + j] = (highScale & 15) | ((highMinimum & 15) << 4);
  }
}
