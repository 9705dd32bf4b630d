/**
 * Finds stop strings in a text that comes in pieces. The text ends before the stop string that is completed first (the
 * longest, if several end at the same place), so the outcome does not depend on how the text is cut into pieces. Text
 * that may be the beginning of a stop string is held back. Time is linear in the text: one Knuth-Morris-Pratt automaton
 * per stop string.
 */
import { NearfieldError } from '../base/error.ts';

export class StopMatcher {
  readonly #automata: readonly StopAutomaton[];
  #held = '';
  #found: string | undefined;

  /** Throws `bad-argument` for an empty string. */
  constructor(stops: readonly string[]) {
    this.#automata = stops.map((stop) => new StopAutomaton(stop));
  }

  /** The stop string that ended the text. */
  get found(): string | undefined {
    return this.#found;
  }

  /** Text that can be shown now; empty once a stop string was found. */
  push(piece: string): string {
    if (this.#found !== undefined || this.#automata.length === 0)
      return this.#found === undefined ? piece : '';
    const text = this.#held + piece;
    for (let at = this.#held.length; at < text.length; at++) {
      for (const automaton of this.#automata) {
        if (automaton.advance(text.charCodeAt(at)) && automaton.stop.length > (this.#found?.length ?? 0)) {
          this.#found = automaton.stop;
        }
      }
      if (this.#found !== undefined) {
        this.#held = '';
        return text.slice(0, at + 1 - this.#found.length);
      }
    }
    const heldLength = Math.max(...this.#automata.map(({ matched }) => matched));
    this.#held = text.slice(text.length - heldLength);
    return text.slice(0, text.length - heldLength);
  }

  /** What was held back, when no more text comes. */
  flush(): string {
    const held = this.#held;
    this.#held = '';
    return held;
  }
}

/** How much of one stop string the text ends with, in UTF-16 units. */
class StopAutomaton {
  readonly stop: string;
  matched = 0;
  /** For each length of a beginning: the length of the longest shorter beginning that it ends with. */
  readonly #border: readonly number[];

  constructor(stop: string) {
    if (stop === '') throw new NearfieldError('bad-argument', 'A stop string is empty; leave it out');
    this.stop = stop;
    const border = [0, 0];
    for (let length = 1; length < stop.length; length++) {
      let shorter = border[length] ?? 0;
      while (shorter > 0 && stop[shorter] !== stop[length]) shorter = border[shorter] ?? 0;
      border.push(stop[shorter] === stop[length] ? shorter + 1 : 0);
    }
    this.#border = border;
  }

  /** True where the whole stop string is matched. */
  advance(unit: number): boolean {
    while (this.matched > 0 && this.stop.charCodeAt(this.matched) !== unit) {
      this.matched = this.#border[this.matched] ?? 0;
    }
    if (this.stop.charCodeAt(this.matched) === unit) this.matched++;
    return this.matched === this.stop.length;
  }
}
