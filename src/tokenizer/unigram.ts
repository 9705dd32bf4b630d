/**
 * Unigram language model (`tokenizer.ggml.model` t5): of all ways to cut a text in pieces, the one whose scores (log
 * probabilities) add up to the most. Found by dynamic programming over the text (Viterbi) with the pieces in a trie.
 */
import { CharacterMap } from './character-map.ts';
import { PieceTrie } from './piece-trie.ts';
import type { TextToIds } from './text-to-ids.ts';
import { tokenKind, type Vocabulary } from './vocabulary.ts';

export interface UnigramOptions {
  /** Runs of spaces count as one, and those at either end as none. */
  readonly mergeSpaces: boolean;
  readonly charsmap: Uint8Array | undefined;
}

/** How much less likely than the rarest piece a character is that no piece covers. */
const unknownPenalty = 10;

export class UnigramEncoder implements TextToIds {
  readonly #vocabulary: Vocabulary;
  readonly #options: UnigramOptions;
  readonly #characterMap: CharacterMap | undefined;
  readonly #trie: PieceTrie;
  readonly #unknownScore: number;
  readonly #utf8 = new TextEncoder();

  constructor(vocabulary: Vocabulary, options: UnigramOptions) {
    this.#vocabulary = vocabulary;
    this.#options = options;
    this.#characterMap = options.charsmap === undefined ? undefined : new CharacterMap(options.charsmap);
    const { kinds, scores, pieces } = vocabulary;
    const matched: [string, number][] = [];
    let lowest = Number.POSITIVE_INFINITY;
    for (let id = 0; id < pieces.length; id++) {
      const piece = pieces[id] ?? '';
      const kind = kinds[id];
      if (kind === tokenKind.normal) lowest = Math.min(lowest, scores[id] ?? 0);
      if (kind === tokenKind.normal || kind === tokenKind.userDefined || kind === tokenKind.unused) {
        matched.push([piece, id]);
      }
    }
    this.#trie = new PieceTrie(matched, matched.length * 4);
    this.#unknownScore = (Number.isFinite(lowest) ? lowest : 0) - unknownPenalty;
  }

  encode(text: string, _afterSpecial: boolean, ids: number[]): void {
    const normalized = this.#normalize(text);
    const { from, piece } = this.#bestCuts(normalized);
    const backwards: number[] = [];
    const unknown = this.#vocabulary.unknown;
    for (let at = normalized.length; at > 0; at = from[at] ?? 0) {
      const id = piece[at] ?? -1;
      if (id >= 0) backwards.push(id);
      // Characters in a row that no piece covers are one unknown token.
      else if (unknown !== undefined && backwards.at(-1) !== unknown) backwards.push(unknown);
    }
    for (let index = backwards.length - 1; index >= 0; index--) ids.push(backwards[index] ?? 0);
  }

  bytesOfPiece(piece: string): Uint8Array {
    return this.#utf8.encode(piece.replaceAll('▁', ' '));
  }

  /** Per place of the text: the last piece of the best cut up to there (-1: a character no piece covers) and its start. */
  #bestCuts(text: string): { from: Int32Array; piece: Int32Array } {
    const { kinds, scores } = this.#vocabulary;
    const best = new Float64Array(text.length + 1).fill(Number.NEGATIVE_INFINITY);
    const from = new Int32Array(text.length + 1);
    const piece = new Int32Array(text.length + 1).fill(-1);
    best[0] = 0;
    for (let start = 0; start < text.length; ) {
      const here = best[start] ?? 0;
      const characterEnd = start + ((text.codePointAt(start) ?? 0) > 0xffff ? 2 : 1);
      let covered = false;
      let node = 0;
      for (let at = start; at < text.length; at++) {
        node = this.#trie.step(node, text.charCodeAt(at));
        if (node < 0) break;
        const id = this.#trie.idAt(node);
        if (id < 0) continue;
        const end = at + 1;
        if (end === characterEnd) covered = true;
        const score = here + (kinds[id] === tokenKind.userDefined ? 0 : (scores[id] ?? 0));
        if (score > (best[end] ?? 0)) {
          best[end] = score;
          from[end] = start;
          piece[end] = id;
        }
      }
      if (!covered && here + this.#unknownScore > (best[characterEnd] ?? 0)) {
        best[characterEnd] = here + this.#unknownScore;
        from[characterEnd] = start;
        piece[characterEnd] = -1;
      }
      start = characterEnd;
    }
    return { from, piece };
  }

  #normalize(text: string): string {
    const mapped = this.#characterMap?.apply(text) ?? text;
    if (this.#options.mergeSpaces) {
      // Every word gets a space before it, the first one too.
      const words = mapped.split(' ').filter((word) => word !== '');
      return words.map((word) => `▁${word}`).join('');
    }
    const firstWord = mapped.search(/[^ ]/);
    const prefixed =
      this.#vocabulary.addSpacePrefix && firstWord >= 0
        ? `${mapped.slice(0, firstWord)} ${mapped.slice(firstWord)}`
        : mapped;
    return prefixed.replaceAll(' ', '▁');
  }
}
