/**
 * Finds where the last tokens occurred before: chains of earlier positions with the same hash of two tokens, as LZ77
 * compressors keep them. Adding a token costs constant time; a search looks at a bounded number of positions. Chains only
 * say where to look: what counts is the comparison with the tokens themselves.
 */

const shortestMatch = 2;
/** Longer matches are not told apart. */
export const longestMatch = 8;
/** Places looked at, and matches given. */
const mostVisits = 64;
const mostMatches = 16;

export interface EarlierMatch {
  /** Index of the token that followed. */
  readonly next: number;
  /** Tokens that agree, 2…8. */
  readonly length: number;
}

export class SuffixIndex {
  /** Per hash: the latest position of a token that ends such a pair, or -1. */
  #heads = new Int32Array(256).fill(-1);
  /** Per position: the one before it in its chain, or -1. */
  #previous = new Int32Array(256);
  #length = 0;
  #lastToken = -1;

  /** Earlier occurrences of the last two tokens or more, the most recent first. */
  find(tokens: readonly number[]): EarlierMatch[] {
    this.#follow(tokens);
    const last = tokens.length - 1;
    const found: EarlierMatch[] = [];
    let place = this.#previous[last] ?? -1;
    for (let visits = 0; place >= 0 && visits < mostVisits && found.length < mostMatches; visits++) {
      const length = agreeing(tokens, place, last);
      if (length >= shortestMatch) found.push({ next: place + 1, length });
      place = this.#previous[place] ?? -1;
    }
    return found;
  }

  /** Adds the tokens not seen yet; starts over where the tokens seen were cut or replaced. */
  #follow(tokens: readonly number[]): void {
    const isCut = tokens.length < this.#length || (tokens[this.#length - 1] ?? -1) !== this.#lastToken;
    if (isCut || tokens.length > this.#heads.length) this.#restart(tokens.length);
    for (let place = this.#length; place < tokens.length; place++) {
      const bucket = this.#bucket(tokens[place - 1] ?? -1, tokens[place] ?? -1);
      this.#previous[place] = this.#heads[bucket] ?? -1;
      this.#heads[bucket] = place;
    }
    this.#length = tokens.length;
    this.#lastToken = tokens.at(-1) ?? -1;
  }

  #restart(tokenCount: number): void {
    let capacity = this.#heads.length;
    while (capacity < tokenCount) capacity *= 2;
    if (capacity > this.#heads.length) {
      this.#heads = new Int32Array(capacity);
      this.#previous = new Int32Array(capacity);
    }
    this.#heads.fill(-1);
    this.#length = 0;
  }

  /** Multiplicative hashing of the pair; the table's length is a power of two. */
  #bucket(first: number, second: number): number {
    const mixed = Math.imul(Math.imul(first, 0x85ebca6b) ^ second, 0x9e3779b1);
    return (mixed ^ (mixed >>> 15)) & (this.#heads.length - 1);
  }
}

/** How many tokens up to and with `place` agree with those up to `last`, at most `longestMatch`. */
function agreeing(tokens: readonly number[], place: number, last: number): number {
  let length = 0;
  while (length < longestMatch && place - length >= 0 && tokens[place - length] === tokens[last - length])
    length++;
  return length;
}
