/** A tokenizer put together: special tokens cut out of the text, the rest encoded, and ids read back. */
import type { DetokenizerStream, Tokenizer } from '../tokenizer.ts';
import { Detokenizer } from './detokenizer.ts';
import { SpecialSplitter } from './special-splitter.ts';
import type { TextToIds } from './text-to-ids.ts';
import type { Vocabulary } from './vocabulary.ts';

export class VocabularyTokenizer implements Tokenizer {
  readonly vocabularySize: number;
  readonly bos: number | undefined;
  readonly eos: number | undefined;
  readonly endIds: ReadonlySet<number>;
  readonly addBos: boolean;
  readonly addEos: boolean;
  readonly warnings: readonly string[];
  readonly #pieces: readonly string[];
  readonly #encoder: TextToIds;
  readonly #splitter: SpecialSplitter;
  readonly #detokenizer: Detokenizer;

  constructor(vocabulary: Vocabulary, encoder: TextToIds, warnings: readonly string[]) {
    this.vocabularySize = vocabulary.pieces.length;
    this.bos = vocabulary.bos;
    this.eos = vocabulary.eos;
    this.endIds = vocabulary.endIds;
    this.addBos = vocabulary.addBos;
    this.addEos = vocabulary.addEos;
    this.warnings = [...vocabulary.warnings, ...warnings];
    this.#pieces = vocabulary.pieces;
    this.#encoder = encoder;
    this.#splitter = new SpecialSplitter(vocabulary);
    this.#detokenizer = new Detokenizer(vocabulary, encoder);
  }

  encode(text: string, options: { special?: boolean; addSpecial?: boolean } = {}): number[] {
    const ids: number[] = [];
    if (options.addSpecial && this.addBos && this.bos !== undefined) ids.push(this.bos);
    // A lone surrogate has no UTF-8.
    const wellFormed = text.replace(/\p{Surrogate}/gu, '\ufffd');
    let afterSpecial = true;
    this.#splitter.split(wellFormed, options.special ?? false, {
      text: (fragment) => {
        this.#encoder.encode(fragment, afterSpecial, ids);
        afterSpecial = false;
      },
      token: (id) => {
        ids.push(id);
        afterSpecial = true;
      },
    });
    if (options.addSpecial && this.addEos && this.eos !== undefined) ids.push(this.eos);
    return ids;
  }

  decode(ids: ArrayLike<number>, options: { special?: boolean } = {}): string {
    return this.#detokenizer.decode(ids, options.special ?? false);
  }

  bytes(id: number, options: { special?: boolean } = {}): Uint8Array {
    return this.#detokenizer.bytes(id, options.special ?? false).slice();
  }

  piece(id: number): string {
    this.#detokenizer.checkId(id);
    return this.#pieces[id] ?? '';
  }

  stream(options: { special?: boolean; continues?: boolean } = {}): DetokenizerStream {
    return this.#detokenizer.stream(options.special ?? false, options.continues ?? false);
  }
}
