/**
 * Cuts a text at its special tokens. User-defined tokens are always cut out; control and unknown tokens only where the
 * caller asks, otherwise their spelling is ordinary text. Of overlapping ones the leftmost wins, then the longest.
 */
import { PieceTrie } from './piece-trie.ts';
import { tokenKind, type Vocabulary } from './vocabulary.ts';

/** Receives what the text consists of, in order. */
export interface FragmentSink {
  text(fragment: string): void;
  token(id: number): void;
}

export class SpecialSplitter {
  readonly #pieces: readonly string[];
  readonly #swallowing: ReadonlySet<number>;
  readonly #always: Matcher;
  readonly #onRequest: Matcher;

  constructor(vocabulary: Vocabulary) {
    this.#pieces = vocabulary.pieces;
    this.#swallowing = vocabulary.swallowing;
    const always: [string, number][] = [];
    const onRequest: [string, number][] = [];
    const { pieces, kinds } = vocabulary;
    for (let id = 0; id < kinds.length; id++) {
      const kind = kinds[id];
      if (kind !== tokenKind.userDefined && kind !== tokenKind.control && kind !== tokenKind.unknown)
        continue;
      const piece = pieces[id] ?? '';
      if (kind === tokenKind.userDefined) always.push([piece, id]);
      onRequest.push([piece, id]);
    }
    this.#always = matcherOf(always);
    this.#onRequest = matcherOf(onRequest);
  }

  /** Empty fragments are not reported. */
  split(text: string, special: boolean, sink: FragmentSink): void {
    const { trie, firstUnits } = special ? this.#onRequest : this.#always;
    let done = 0;
    let at = 0;
    while (at < text.length) {
      const id = firstUnits.has(text.charCodeAt(at)) ? trie.longestAt(text, at) : -1;
      if (id < 0) {
        at += 1;
        continue;
      }
      if (at > done) sink.text(text.slice(done, at));
      sink.token(id);
      at += this.#pieces[id]?.length ?? 1;
      if (this.#swallowing.has(id)) while (isAsciiSpace(text.charCodeAt(at))) at += 1;
      done = at;
    }
    if (text.length > done) sink.text(text.slice(done));
  }
}

interface Matcher {
  readonly trie: PieceTrie;
  readonly firstUnits: ReadonlySet<number>;
}

function matcherOf(pieces: readonly (readonly [string, number])[]): Matcher {
  return {
    trie: new PieceTrie(pieces, pieces.length * 8),
    firstUnits: new Set(pieces.map(([piece]) => piece.charCodeAt(0))),
  };
}

function isAsciiSpace(unit: number): boolean {
  return unit === 0x20 || (unit >= 0x09 && unit <= 0x0d);
}
