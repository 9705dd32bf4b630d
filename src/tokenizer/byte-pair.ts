/**
 * Byte-level byte-pair encoding (`tokenizer.ggml.model` gpt2): text is cut in words by the pre-tokenizer, a word starts
 * as its bytes (or, for Gemma 4 and kin, its characters), and neighbours merge in the order the merges are listed.
 */
import { NearfieldError } from '../base/error.ts';
import { byteCharacters, bytesOfSpelling } from './byte-alphabet.ts';
import { bytePieceIds } from './byte-pieces.ts';
import { PairMap } from './pair-map.ts';
import { type MergeRule, PairMerger } from './pair-merger.ts';
import { makeSplitter, type TextSplitter } from './pre-split.ts';
import type { PreTokenizer } from './pre-tokenizers.ts';
import type { TextToIds } from './text-to-ids.ts';
import { isTextual, type Vocabulary } from './vocabulary.ts';
import { WordCache } from './word-cache.ts';

export class BytePairEncoder implements TextToIds {
  readonly #vocabulary: Vocabulary;
  readonly #preTokenizer: PreTokenizer;
  readonly #split: TextSplitter;
  /**
   * Symbols are token ids; texts that occur in merges only get numbers from the vocabulary's size up, so that merges
   * may pass through them.
   */
  readonly #passing = new Map<string, number>();
  /** Two symbols to the index of their merge; `#mergedSymbols` holds what they become. */
  readonly #merges: PairMap;
  readonly #mergedSymbols: Int32Array;
  readonly #byteSymbols: Int32Array;
  readonly #byteIds: Int32Array | undefined;
  readonly #rule: MergeRule;
  readonly #merger = new PairMerger();
  readonly #cache = new WordCache();
  readonly #utf8 = new TextEncoder();

  /** `merges`: "left right" each, the most frequent first. */
  constructor(vocabulary: Vocabulary, merges: readonly string[], preTokenizer: PreTokenizer) {
    this.#vocabulary = vocabulary;
    this.#preTokenizer = preTokenizer;
    this.#split = makeSplitter(preTokenizer.steps);
    this.#merges = new PairMap(merges.length);
    this.#mergedSymbols = new Int32Array(merges.length);
    for (let index = 0; index < merges.length; index++) {
      const merge = merges[index] ?? '';
      // Either side may itself be or begin with a space where pieces are spelled in plain characters.
      const space = merge.indexOf(' ', 1);
      if (space < 0 || space === merge.length - 1) {
        throw new NearfieldError(
          'bad-file',
          `Merge ${index} (tokenizer.ggml.merges) is not two pieces and a space`,
        );
      }
      const left = this.#symbol(merge, 0, space, space, space);
      const right = this.#symbol(merge, space + 1, merge.length, merge.length, merge.length);
      this.#merges.add(left, right, index);
      this.#mergedSymbols[index] = this.#symbol(merge, 0, space, space + 1, merge.length);
    }
    this.#byteIds = preTokenizer.characters ? bytePieceIds(vocabulary) : undefined;
    this.#byteSymbols = Int32Array.from(byteCharacters, (character) => this.#known(character));
    this.#rule = {
      find: (symbols, left, right) => {
        const first = symbols.ids[left] ?? -1;
        const second = symbols.ids[right] ?? -1;
        return first < 0 || second < 0 ? -1 : this.#merges.get(first, second);
      },
      rank: (index) => index,
      merged: (index) => this.#mergedSymbols[index] ?? -1,
    };
  }

  encode(text: string, _afterSpecial: boolean, ids: number[]): void {
    const spelled = this.#preTokenizer.characters ? text.replaceAll(' ', '▁') : text;
    for (const word of this.#split(spelled)) {
      let known = this.#cache.get(word);
      if (known === undefined) {
        known = this.#encodeWord(word);
        this.#cache.set(word, known);
      }
      for (const id of known) ids.push(id);
    }
  }

  bytesOfPiece(piece: string, userDefined: boolean): Uint8Array {
    if (this.#preTokenizer.characters) return this.#utf8.encode(piece.replaceAll('▁', ' '));
    return userDefined ? this.#utf8.encode(piece) : bytesOfSpelling(piece);
  }

  /** The symbol of a text, or -1. */
  #known(text: string): number {
    const id = this.#vocabulary.index.get(text);
    return id >= 0 && isTextual(this.#vocabulary.kinds[id]) ? id : (this.#passing.get(text) ?? -1);
  }

  /** The symbol of `text` from `start` to `gap` and then from `resume` to `end`; a new one where there is none. */
  #symbol(text: string, start: number, gap: number, resume: number, end: number): number {
    const id = this.#vocabulary.index.findJoined(text, start, gap, resume, end);
    if (id >= 0 && isTextual(this.#vocabulary.kinds[id])) return id;
    const joined = text.slice(start, gap) + text.slice(resume, end);
    const passing = this.#passing.get(joined) ?? this.#vocabulary.pieces.length + this.#passing.size;
    this.#passing.set(joined, passing);
    return passing;
  }

  #encodeWord(word: string): number[] {
    const utf8 = this.#utf8.encode(word);
    const characters = this.#preTokenizer.characters === true;
    if (this.#preTokenizer.ignoreMerges || (characters && /^\n+$/.test(word))) {
      const spelling = characters ? word : Array.from(utf8, (byte) => byteCharacters[byte]).join('');
      const whole = this.#known(spelling);
      if (whole >= 0 && whole < this.#vocabulary.pieces.length) return [whole];
    }
    if (characters) this.#setCharacters(word);
    else this.#setBytes(utf8);
    const symbols = this.#merger;
    symbols.merge(this.#rule);
    const ids: number[] = [];
    for (let symbol = 0; symbol >= 0; symbol = symbols.next[symbol] ?? -1) {
      const id = symbols.ids[symbol] ?? -1;
      if (id >= 0 && id < this.#vocabulary.pieces.length) ids.push(id);
      else this.#spellOut(utf8.subarray(symbols.start(symbol), symbols.ends[symbol]), ids);
    }
    return ids;
  }

  #setBytes(utf8: Uint8Array): void {
    const symbols = this.#merger;
    symbols.reset(utf8.length);
    for (let at = 0; at < utf8.length; at++) {
      symbols.ids[at] = this.#byteSymbols[utf8[at] ?? 0] ?? -1;
      symbols.ends[at] = at + 1;
    }
  }

  /** One symbol per character; ends count UTF-8 bytes. */
  #setCharacters(word: string): void {
    const symbols = this.#merger;
    const characters = Array.from(word);
    symbols.reset(characters.length);
    let end = 0;
    for (const [at, character] of characters.entries()) {
      const code = character.codePointAt(0) ?? 0;
      end += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
      symbols.ids[at] = this.#known(character);
      symbols.ends[at] = end;
    }
  }

  /** Bytes the vocabulary has no token for are left out, as llama.cpp does: these vocabularies have no unknown token. */
  #spellOut(utf8: Uint8Array, ids: number[]): void {
    const table = this.#preTokenizer.characters ? this.#byteIds : this.#byteSymbols;
    for (const byte of utf8) {
      const id = table?.[byte] ?? -1;
      if (id >= 0 && id < this.#vocabulary.pieces.length) ids.push(id);
    }
  }
}
