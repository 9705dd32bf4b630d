/**
 * Checksums of pieces of one file that are read again and again. A piece is summed from end to end the first time. As long
 * as the host says that the file is the same since then, no word of each sector need differ that all others do not: what a
 * disk gives wrongly it gives by sectors, since each has a code of its own that corrects or refuses it, and who writes to
 * the file changes what the host says of it. So one word of each sector is compared, and the sum is the one that is known:
 * a tenth of the work. Where a word differs, or the host tells nothing, all is summed.
 */
import { checksum } from '../base/checksum.ts';

/** The smallest sector there is. */
const sectorWords = 512 / 4;
const [factor, lastFactor] = [0x9e3779b1, 0x85ebca77];

interface Remembered {
  readonly stamp: string;
  readonly byteLength: number;
  readonly sample: number;
  readonly sums: readonly [number, number];
}

export class RememberedSums {
  readonly #byOffset = new Map<number, Remembered>();
  readonly #fresh = new Uint32Array(2);

  /**
   * The checksum of a piece. `stamp` says in which state the file was after the bytes were read: equal ones, that nobody has
   * written to it in between; undefined, that it is not known. The bytes begin at a multiple of four.
   */
  of(offset: number, bytes: Uint8Array, stamp: string | undefined): readonly [number, number] {
    const before = this.#byOffset.get(offset);
    const sample = stamp === undefined ? 0 : sampleOf(bytes);
    if (before?.stamp === stamp && before?.byteLength === bytes.byteLength && before.sample === sample) {
      return before.sums;
    }
    checksum(bytes, this.#fresh, 0);
    const sums = [this.#fresh[0] ?? 0, this.#fresh[1] ?? 0] as const;
    if (stamp === undefined) this.#byOffset.delete(offset);
    else this.#byOffset.set(offset, { stamp, byteLength: bytes.byteLength, sample, sums });
    return sums;
  }
}

/** Of one word in each sector, another in each, and of the last. */
function sampleOf(bytes: Uint8Array): number {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2);
  let state = 1;
  for (let first = 0, turn = 0; first < words.length; first += sectorWords) {
    turn = (turn + 37) % sectorWords;
    const word = words[Math.min(first + turn, words.length - 1)] as number;
    state = Math.imul(state ^ word, factor);
    state = (state << 15) | (state >>> 17);
  }
  return Math.imul(state ^ (words[words.length - 1] ?? 0), lastFactor);
}
