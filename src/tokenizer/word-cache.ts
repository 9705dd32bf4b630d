/** Remembers the ids of words already encoded. Bounded: long words are not kept, and a full cache starts afresh. */

const maxWords = 1 << 16;
const maxWordLength = 48;

export class WordCache {
  readonly #ids = new Map<string, readonly number[]>();

  get(word: string): readonly number[] | undefined {
    return this.#ids.get(word);
  }

  set(word: string, ids: readonly number[]): void {
    if (word.length > maxWordLength) return;
    if (this.#ids.size >= maxWords) this.#ids.clear();
    this.#ids.set(word, ids);
  }
}
