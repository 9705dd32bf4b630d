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

interface Piece {
  readonly text: string;
  readonly kind: PieceKind;
  readonly score: number;
}

export class VocabularyDraft {
  /** By id. Ids may have gaps, and a damaged file any size of them. */
  readonly #pieces = new Map<number, Piece>();
  readonly #ids = new Map<string, number>();
  readonly #fileName: string;

  /** `fileName` is for messages. */
  constructor(fileName: string) {
    this.#fileName = fileName;
  }

  get size(): number {
    return this.#pieces.size;
  }

  set(id: number, text: string, kind: PieceKind, score = 0): void {
    if (!Number.isSafeInteger(id) || id < 0) {
      throw new NearfieldError(
        'bad-file',
        `${this.#fileName}: a token has the number ${id}; the file is corrupt`,
      );
    }
    this.#pieces.set(id, { text, kind, score });
    this.#ids.set(text, id);
  }

  /** Added tokens are found in texts before anything else. Those that only look special are treated so, too. */
  add({ id, content, special }: AddedToken, score = 0): void {
    if (special || looksSpecial(content)) this.set(id, content, 'control', score);
    else this.set(id, content.replaceAll('▁', ' '), 'userDefined', score);
  }

  kindOf(id: number): PieceKind | undefined {
    return this.#pieces.get(id)?.kind;
  }

  idOf(text: string): number | undefined {
    return this.#ids.get(text);
  }

  /** As many pieces as the embedding has rows: made-up ones where there are fewer, none of those beyond. */
  write(metadata: MetadataDraft, rows: number, withScores: boolean): void {
    const pieces = Array.from({ length: rows }, (_, id) => this.#pieces.get(id));
    const texts = pieces.map((piece, id) => piece?.text ?? `[PAD${id}]`);
    const kinds = Int32Array.from(pieces, (piece) => pieceKinds[piece?.kind ?? 'unused']);
    metadata.set('tokenizer.ggml.tokens', 'array of string', texts);
    metadata.set('tokenizer.ggml.token_type', 'array of int32', kinds);
    if (!withScores) return;
    const scores = Float32Array.from(pieces, (piece) => piece?.score ?? 0);
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
