/** Numbers that look random and are cheap: inputs of checks. */

/** From -1 to 1; the same for the same place and stream. */
export function noiseAt(index: number, stream: number): number {
  return noiseWord(index, stream) / 2 ** 31 - 1;
}

/** 32 bits: the finisher of MurmurHash3 over place and stream. */
export function noiseWord(index: number, stream: number): number {
  let bits = Math.imul(index + 1, 0x9e3779b1) ^ Math.imul(stream + 1, 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}

export const noise = (count: number, stream: number, size = 1): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: count }, (_, index) => size * noiseAt(index, stream));
