/** A vocabulary under way: pieces by id, each with its kind and score, as GGUF metadata has them. */
import { NearfieldError } from '../../base/error.ts';
import type { MetadataDraft } from './metadata-draft.ts';

/** The codes of `tokenizer.ggml.token_type`. */
export const pieceKinds = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

export type PieceKind = keyof typeof pieceKinds;

/** An added token, whatever file it comes from. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

/** Far above every published vocabulary; an id may be claimed without the pieces before it. */
const mostPieces = 1 << 22;

export class VocabularyDraft {
  readonly #pieces: (string | undefined)[] = [];
  readonly #kinds: PieceKind[] = [];
  readonly #scores: number[] = [];
  readonly #fileName: string;

  /** `fileName` is for messages. */
  constructor(fileName: string) {
    this.#fileName = fileName;
  }

  get size(): number {
    return this.#pieces.length;
  }

  set(id: number, piece: string, kind: PieceKind, score = 0): void {
    if (!Number.isSafeInteger(id) || id < 0 || id >= mostPieces) {
      throw new NearfieldError(
        'bad-file',
        `${this.#fileName}: a token has the number ${id}; the file is corrupt`,
      );
    }
    for (let gap = this.#pieces.length; gap < id; gap++) {
      this.#pieces.push(undefined);
      this.#kinds.push('unused');
      this.#scores.push(0);
    }
    this.#pieces[id] = piece;
    this.#kinds[id] = kind;
    this.#scores[id] = score;
  }

  /** Added tokens are found in texts before anything else. Those that only look special are treated so, too. */
  add({ id, content, special }: AddedToken, score = 0): void {
    if (special || looksSpecial(content)) this.set(id, content, 'control', score);
    else this.set(id, content.replaceAll('▁', ' '), 'userDefined', score);
  }

  kindOf(id: number): PieceKind | undefined {
    return this.#pieces[id] === undefined ? undefined : this.#kinds[id];
  }

  idOf(piece: string): number | undefined {
    const id = this.#pieces.indexOf(piece);
    return id < 0 ? undefined : id;
  }

  /** As many pieces as the embedding has rows: made-up ones where there are fewer, none of those beyond. */
  write(metadata: MetadataDraft, rows: number, withScores: boolean): void {
    const pieces = Array.from({ length: rows }, (_, id) => this.#pieces[id] ?? `[PAD${id}]`);
    const kinds = Int32Array.from(pieces, (_, id) => pieceKinds[this.kindOf(id) ?? 'unused']);
    metadata.set('tokenizer.ggml.tokens', 'array of string', pieces);
    metadata.set('tokenizer.ggml.token_type', 'array of int32', kinds);
    if (!withScores) return;
    const scores = Float32Array.from(pieces, (_, id) => this.#scores[id] ?? 0);
    metadata.set('tokenizer.ggml.scores', 'array of float32', scores);
  }
}

/** Some models leave the mark off tokens that no text should be able to spell. */
function looksSpecial(piece: string): boolean {
  return (
    /^<\|.*\|>$|^<｜.*｜>$|^<unused\d*>$/s.test(piece) ||
    ['<pad>', '<mask>', '<2mass>', '[@BOS@]'].includes(piece)
  );
}
