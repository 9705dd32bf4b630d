/** Looks pieces up by stretches of text, without making a string of each: opening a vocabulary does a million look-ups. */

export class PieceIndex {
  readonly #pieces: readonly string[];
  readonly #mask: number;
  /** Id + 1 per slot, 0 where free. */
  readonly #slots: Int32Array;
  readonly #hashes: Int32Array;
  // Drawn at random, so that no file can be made whose pieces all collide.
  readonly #seed = Math.floor(Math.random() * 0x100000000) | 0;

  constructor(pieces: readonly string[]) {
    let capacity = 16;
    while (capacity < pieces.length * 2) capacity *= 2;
    this.#pieces = pieces;
    this.#mask = capacity - 1;
    this.#slots = new Int32Array(capacity);
    this.#hashes = new Int32Array(capacity);
    for (let id = 0; id < pieces.length; id++) {
      const piece = pieces[id] ?? '';
      if (piece === '') continue;
      const hash = finish(extend(this.#seed, piece, 0, piece.length));
      let slot = hash & this.#mask;
      while (this.#slots[slot] !== 0) {
        if (this.#hashes[slot] === hash && pieces[(this.#slots[slot] ?? 0) - 1] === piece) break;
        slot = (slot + 1) & this.#mask;
      }
      this.#slots[slot] = id + 1;
      this.#hashes[slot] = hash;
    }
  }

  /** The id of a piece, or -1; of equal pieces, the last. */
  get(piece: string): number {
    return this.find(piece, 0, piece.length);
  }

  /** The id of the piece that is `text` from `start` to `end`, or -1. */
  find(text: string, start: number, end: number): number {
    return this.#lookUp(extend(this.#seed, text, start, end), text, start, end, end, end);
  }

  /** The id of the piece that is `text` from `start` to `gap` and then from `resume` to `end`, or -1. */
  findJoined(text: string, start: number, gap: number, resume: number, end: number): number {
    const left = extend(this.#seed, text, start, gap);
    return this.#lookUp(extend(left, text, resume, end), text, start, gap, resume, end);
  }

  #lookUp(state: number, text: string, start: number, gap: number, resume: number, end: number): number {
    const hash = finish(state);
    const leftLength = gap - start;
    const length = leftLength + end - resume;
    for (let slot = hash & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const entry = this.#slots[slot] ?? 0;
      if (entry === 0) return -1;
      if (this.#hashes[slot] !== hash) continue;
      const piece = this.#pieces[entry - 1] ?? '';
      if (piece.length !== length) continue;
      let at = 0;
      while (at < leftLength && piece.charCodeAt(at) === text.charCodeAt(start + at)) at++;
      if (at < leftLength) continue;
      const shift = resume - leftLength;
      while (at < length && piece.charCodeAt(at) === text.charCodeAt(shift + at)) at++;
      if (at === length) return entry - 1;
    }
  }
}

/** FNV-1a over UTF-16 units, from the state that an earlier stretch left. */
function extend(state: number, text: string, start: number, end: number): number {
  let hash = state;
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash;
}

function finish(state: number): number {
  const mixed = Math.imul(state ^ (state >>> 16), 0x45d9f3b);
  return mixed ^ (mixed >>> 15);
}
