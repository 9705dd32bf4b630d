/** Split steps for digits and trailing space. As patterns, these need lookaheads that take quadratic time on long runs. */

/** Cuts before every group of three, counted from the right, of each run of ASCII digits: `(?=(\d{3})+(?!\d))`. */
export function asciiDigitTriples(text: string): number[] {
  const cuts: number[] = [];
  for (const run of text.matchAll(/[0-9]{3,}/g)) {
    const end = run.index + run[0].length;
    for (let cut = run.index + (run[0].length % 3); cut < end; cut += 3) if (cut > 0) cuts.push(cut);
  }
  return cuts;
}

/** Sets runs of digits apart and cuts them in threes from the right: `\d{1,3}(?=(?:\d{3})*\b)`, matches isolated. */
export function digitTriples(text: string): number[] {
  const cuts: number[] = [];
  // Where each digit of the run at hand starts; the run ends at the first character that is none.
  let digits: number[] = [];
  const closeRun = (end: number): void => {
    for (let index = digits.length % 3; index < digits.length; index += 3) cuts.push(digits[index] ?? 0);
    if (digits.length % 3 !== 0) cuts.push(digits[0] ?? 0);
    if (digits.length > 0) cuts.push(end);
    digits = [];
  };
  let at = 0;
  for (const character of text) {
    if (/\p{N}/u.test(character)) digits.push(at);
    else closeRun(at);
    at += character.length;
  }
  closeRun(at);
  return cuts.filter((cut) => cut > 0 && cut < text.length).sort((a, b) => a - b);
}

/** Cuts off the white space at the end: `\s+$`. */
export function trailingSpace(text: string): number[] {
  let end = text.length;
  while (end > 0 && /\p{White_Space}/u.test(text.charAt(end - 1))) end -= 1;
  return end > 0 && end < text.length ? [end] : [];
}
