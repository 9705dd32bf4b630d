/** Cuts text into the words that byte-level BPE merges within: the steps of a pre-tokenizer, one after the other. */

/**
 * One step: a pattern whose matches, and the gaps between them, become pieces of their own; or a function that returns
 * where to cut (ascending, strictly inside the text).
 */
export type SplitStep = string | ((text: string) => readonly number[]);

export type TextSplitter = (text: string) => string[];

/**
 * Patterns are in the Unicode notation of regular expressions; `\s` and `\S` mean White_Space as tokenizers mean it
 * (JavaScript's differ in U+0085 and U+FEFF). A lookahead sees no further than the piece its step was given.
 */
export function makeSplitter(steps: readonly SplitStep[]): TextSplitter {
  const compiled = steps.map((step) =>
    typeof step === 'string'
      ? new RegExp(step.replaceAll('\\s', '\\p{White_Space}').replaceAll('\\S', '\\P{White_Space}'), 'gu')
      : step,
  );
  return (text) => {
    let pieces = [text];
    for (const step of compiled) {
      const finer: string[] = [];
      for (const piece of pieces) {
        if (typeof step === 'function') cutAt(piece, step(piece), finer);
        else cutByPattern(piece, step, finer);
      }
      pieces = finer;
    }
    return pieces;
  };
}

function cutAt(text: string, cuts: readonly number[], pieces: string[]): void {
  let done = 0;
  for (const cut of cuts) {
    if (cut > done) pieces.push(text.slice(done, cut));
    done = cut;
  }
  if (text.length > done) pieces.push(text.slice(done));
}

/**
 * Regular expression engines keep a stack of every place a long match passed, and give up at some ten million units.
 * So a long text is matched in windows; what lies near a window's end is left to the next. Only a single piece longer
 * than a window is cut where its own pattern would not.
 */
const windowLength = 1 << 20;
/** Farther than any pattern looks past its match. */
const windowMargin = 1024;

function cutByPattern(text: string, pattern: RegExp, pieces: string[]): void {
  let from = 0;
  while (text.length - from > windowLength) {
    const window = text.slice(from, from + windowLength);
    const reached = cutWindow(window, pattern, window.length - windowMargin, pieces);
    if (reached > 0) {
      from += reached;
    } else {
      const end = splitsPair(window, windowLength - 1) ? windowLength - 1 : windowLength;
      pieces.push(window.slice(0, end));
      from += end;
    }
  }
  cutWindow(from === 0 ? text : text.slice(from), pattern, Number.POSITIVE_INFINITY, pieces);
}

/** Cuts up to the last match that ends by `limit`, or everything where the limit is infinite; returns how far it came. */
function cutWindow(text: string, pattern: RegExp, limit: number, pieces: string[]): number {
  let done = 0;
  pattern.lastIndex = 0;
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    const end = match.index + match[0].length;
    if (end > limit) break;
    if (match.index > done) pieces.push(text.slice(done, match.index));
    if (end > match.index) pieces.push(match[0]);
    else pattern.lastIndex += 1;
    done = end;
  }
  if (limit !== Number.POSITIVE_INFINITY) return done;
  if (text.length > done) pieces.push(text.slice(done));
  return text.length;
}

function splitsPair(text: string, index: number): boolean {
  return (text.charCodeAt(index) & 0xfc00) === 0xd800;
}
