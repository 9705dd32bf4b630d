/** Ids back to bytes and text, whole or one at a time. */
import { NearfieldError } from '../base/error.ts';
import type { DetokenizerStream } from '../tokenizer.ts';
import { byteOfPiece } from './byte-pieces.ts';
import type { TextToIds } from './text-to-ids.ts';
import { tokenKind, type Vocabulary } from './vocabulary.ts';

/**
 * The one rule about spaces: where the vocabulary puts a space before the first word, one space is taken off again from
 * the first token that is no control token, and nowhere else. A stream that `continues` a text takes none off.
 */
export class Detokenizer {
  readonly #vocabulary: Vocabulary;
  readonly #encoder: TextToIds;
  readonly #utf8 = new TextEncoder();
  // Bytes with special tokens spelled out; filled as ids turn up.
  readonly #bytes: (Uint8Array | undefined)[] = [];

  constructor(vocabulary: Vocabulary, encoder: TextToIds) {
    this.#vocabulary = vocabulary;
    this.#encoder = encoder;
  }

  /** Throws `bad-argument` for an id outside the vocabulary. */
  checkId(id: number): void {
    const size = this.#vocabulary.pieces.length;
    if (!Number.isInteger(id) || id < 0 || id >= size) {
      throw new NearfieldError('bad-argument', `Token id ${id} is outside the vocabulary (0 to ${size - 1})`);
    }
  }

  bytes(id: number, special: boolean): Uint8Array {
    this.checkId(id);
    if (!special && this.#isHidden(id)) return new Uint8Array(0);
    let bytes = this.#bytes[id];
    if (bytes === undefined) {
      bytes = this.#spell(id);
      this.#bytes[id] = bytes;
    }
    return bytes;
  }

  decode(ids: ArrayLike<number>, special: boolean): string {
    const stream = this.stream(special, false);
    const parts: string[] = [];
    for (let index = 0; index < ids.length; index++) parts.push(stream.push(ids[index] ?? -1));
    parts.push(stream.flush());
    return parts.join('');
  }

  stream(special: boolean, continues: boolean): DetokenizerStream {
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    let spaceDue = this.#vocabulary.addSpacePrefix && !continues;
    return {
      push: (id) => {
        const bytes = this.bytes(id, special);
        if (!spaceDue || this.#isHidden(id)) return decoder.decode(bytes, { stream: true });
        spaceDue = false;
        return decoder.decode(bytes[0] === 0x20 ? bytes.subarray(1) : bytes, { stream: true });
      },
      flush: () => decoder.decode(),
    };
  }

  #isHidden(id: number): boolean {
    const kind = this.#vocabulary.kinds[id];
    return kind === tokenKind.control || kind === tokenKind.unknown;
  }

  #spell(id: number): Uint8Array {
    const piece = this.#vocabulary.pieces[id] ?? '';
    const kind = this.#vocabulary.kinds[id];
    if (kind === tokenKind.byte) {
      const byte = byteOfPiece(piece);
      if (byte !== undefined) return Uint8Array.of(byte);
    }
    if (this.#isHidden(id)) return this.#utf8.encode(piece);
    return this.#encoder.bytesOfPiece(piece, kind === tokenKind.userDefined);
  }
}
