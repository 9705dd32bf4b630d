/**
 * Text on a terminal, with guesses of what follows behind it: dim, on the rest of the line, until they are taken back. The
 * cursor's place is kept by the terminal, so guesses never reach its last column: at the bottom of the screen everything
 * would move up, and the place would be another's.
 */

import type { GeneratedToken } from '../../src/index.ts';
import type { Host } from './host.ts';

const [keepPlace, toPlace, clearBehind] = ['\x1b7', '\x1b8', '\x1b[J'];
const [dim, notDim] = ['\x1b[2m', '\x1b[22m'];

const wide =
  /[\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\p{Emoji_Presentation}\uff01-\uff60]/u;
const withoutWidth = /[\p{Mark}\p{Format}]/u;
const control = /\p{Control}/u;

export function openShownText(host: Host): ShownText {
  return new ShownText(
    (text) => host.write(text),
    () => host.outputColumns,
  );
}

export class ShownText {
  readonly #write: (text: string) => Promise<void>;
  readonly #columns: () => number;
  /** Where the text ends, from the left. */
  #column = 0;
  /** Columns of the guesses behind it; undefined where none stand. */
  #guessed: number | undefined;
  /** The last of them had no room. */
  #isFull = false;
  #endsLine = false;

  /** Begins on a line of its own. `columns` are those of the terminal, which may change. */
  constructor(write: (text: string) => Promise<void>, columns: () => number) {
    this.#write = write;
    this.#columns = columns;
  }

  /** Whether a newline was written last. */
  get endsLine(): boolean {
    return this.#endsLine;
  }

  /** A generation as it comes; `beforeEach` is called with each item. */
  async addAll(items: AsyncIterable<GeneratedToken>, beforeEach: () => void): Promise<void> {
    try {
      for await (const { text, provisional, retracted } of items) {
        beforeEach();
        if (retracted !== undefined) await this.retract();
        else if (provisional) await this.guess(text);
        else await this.add(text);
      }
    } finally {
      await this.retract();
    }
  }

  async add(text: string, { isDim = false } = {}): Promise<void> {
    if (text === '') return;
    await this.retract();
    this.#endsLine = text.endsWith('\n');
    for (const character of text) {
      const width = this.#widthOf(character);
      if (character === '\n' || character === '\r') this.#column = 0;
      else this.#column = this.#column + width > this.#columns() ? width : this.#column + width;
    }
    await this.#write(isDim ? `${dim}${text}${notDim}` : text);
  }

  /** Behind the guesses that stand. */
  async guess(text: string): Promise<void> {
    if (this.#isFull) return;
    let room = this.#columns() - 1 - this.#column - (this.#guessed ?? 0);
    let [shown, width] = ['', 0];
    for (const character of text) {
      const visible = character === '\n' ? '↵' : control.test(character) ? ' ' : character;
      room -= this.#widthOf(visible);
      this.#isFull = room < 0;
      if (this.#isFull) break;
      shown += visible;
      width += this.#widthOf(visible);
    }
    if (shown === '') return;
    const place = this.#guessed === undefined ? keepPlace : '';
    this.#guessed = (this.#guessed ?? 0) + width;
    await this.#write(`${place}${dim}${shown}${notDim}`);
  }

  /** Takes all guesses back. */
  async retract(): Promise<void> {
    this.#isFull = false;
    if (this.#guessed === undefined) return;
    this.#guessed = undefined;
    await this.#write(`${toPlace}${clearBehind}`);
  }

  #widthOf(character: string): number {
    if (character === '\t') return 8 - (this.#column % 8);
    if (withoutWidth.test(character) || control.test(character)) return 0;
    return wide.test(character) ? 2 : 1;
  }
}
