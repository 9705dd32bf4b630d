/**
 * SentencePiece byte-pair encoding (`tokenizer.ggml.model` llama): spaces become U+2581, a text starts as characters,
 * and the neighbours whose joint piece has the highest score merge first. What is no piece in the end is spelled in
 * byte tokens.
 */
import { bytePieceIds } from './byte-pieces.ts';
import { type MergeRule, PairMerger } from './pair-merger.ts';
import type { TextToIds } from './text-to-ids.ts';
import { isTextual, type Vocabulary } from './vocabulary.ts';
import { WordCache } from './word-cache.ts';

export class SentencePieceEncoder implements TextToIds {
  readonly #vocabulary: Vocabulary;
  readonly #byteIds: Int32Array | undefined;
  /** No piece has a space after another character, so words can be encoded one by one. */
  readonly #wordsApart: boolean;
  readonly #merger = new PairMerger();
  readonly #cache = new WordCache();
  readonly #utf8 = new TextEncoder();
  #text = '';
  readonly #rule: MergeRule;

  constructor(vocabulary: Vocabulary) {
    this.#vocabulary = vocabulary;
    this.#byteIds = bytePieceIds(vocabulary);
    const { pieces, kinds, scores, longestPiece } = vocabulary;
    this.#wordsApart = !pieces.some(
      (piece, id) => piece.indexOf('▁', 1) > 0 && /[^▁]▁/.test(piece) && isTextual(kinds[id]),
    );
    this.#rule = {
      find: (symbols, left, right) => {
        const start = symbols.start(left);
        const end = symbols.ends[right] ?? start;
        return end - start > longestPiece ? -1 : this.#idOf(this.#text, start, end);
      },
      rank: (id) => -(scores[id] ?? 0),
      merged: (id) => id,
    };
  }

  encode(text: string, afterSpecial: boolean, ids: number[]): void {
    const prefix = afterSpecial && this.#vocabulary.addSpacePrefix ? '▁' : '';
    const spelled = prefix + text.replaceAll(' ', '▁');
    if (!this.#wordsApart) {
      this.#encodeRun(spelled, ids);
      return;
    }
    let start = 0;
    while (start < spelled.length) {
      const end = wordEnd(spelled, start);
      const word = spelled.slice(start, end);
      let known = this.#cache.get(word);
      if (known === undefined) {
        const fresh: number[] = [];
        this.#encodeRun(word, fresh);
        this.#cache.set(word, fresh);
        known = fresh;
      }
      for (const id of known) this.#push(id, ids);
      start = end;
    }
  }

  bytesOfPiece(piece: string): Uint8Array {
    return this.#utf8.encode(piece.replaceAll('▁', ' '));
  }

  #encodeRun(text: string, ids: number[]): void {
    const symbols = this.#merger;
    symbols.reset(text.length);
    let count = 0;
    for (let at = 0; at < text.length; count++) {
      const end = at + ((text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1);
      symbols.ids[count] = this.#idOf(text, at, end);
      symbols.ends[count] = end;
      at = end;
    }
    symbols.count = count;
    if (count === 0) return;
    this.#text = text;
    symbols.merge(this.#rule);
    this.#text = '';
    for (let symbol = 0; symbol >= 0; symbol = symbols.next[symbol] ?? -1) {
      const id = symbols.ids[symbol] ?? -1;
      if (id >= 0) ids.push(id);
      else this.#spellOut(text.slice(symbols.start(symbol), symbols.ends[symbol]), ids);
    }
  }

  /** Characters in a row that the vocabulary cannot spell are one unknown token, as SentencePiece has it. */
  #spellOut(character: string, ids: number[]): void {
    if (this.#byteIds === undefined) {
      if (this.#vocabulary.unknown !== undefined) this.#push(this.#vocabulary.unknown, ids);
      return;
    }
    for (const byte of this.#utf8.encode(character)) ids.push(this.#byteIds[byte] ?? 0);
  }

  #push(id: number, ids: number[]): void {
    if (id === this.#vocabulary.unknown && ids.at(-1) === id) return;
    ids.push(id);
  }

  #idOf(text: string, start: number, end: number): number {
    const id = this.#vocabulary.index.find(text, start, end);
    return isTextual(this.#vocabulary.kinds[id]) ? id : -1;
  }
}

/** A word: spaces, then what is none, up to the next space. */
function wordEnd(text: string, start: number): number {
  let at = start;
  while (text.charCodeAt(at) === 0x2581) at += 1;
  const end = text.indexOf('▁', at);
  return end < 0 ? text.length : end;
}
