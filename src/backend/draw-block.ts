/**
 * The draw block: tells a machine that draws tokens itself how to draw one. It stands in the step block's region, so that
 * the programs of a step find everything there:
 *
 *   step block
 *   drawn tokens (2 words each, by slot; only the machine writes them): id, 1 where it is not sure of it
 *   draw block:
 *     word  0 slot that the token goes to
 *           1 entries
 *           2 latest tokens that only the machine knows    3…6 their slots
 *           7 upper 32 bits of the random number, a fraction
 *           8 steepness 1 / (T · ln 2) as a 32-bit mantissa    9 the right shift that belongs to it
 *          10 top-k    11 top-p, in 2^-32    12 -ln(min-p), in 2^-22
 *          13 repetition    14 frequency    15 presence penalty, float32
 *     entry (3 words), ascending by id: id, how often it was seen, float32 that is added to its logit
 *
 * A difference of logits d in units of 2^-22 becomes a weight 2^-y: y, in 2^-24, is the 64-bit product of d and the
 * mantissa, shifted right.
 */
import { NearfieldError } from '../base/error.ts';

/** Tokens that a machine keeps for steps to come, and how many of them one draw may look back on. */
export const drawnSlots = 64;
export const mostUnread = 4;
const drawnWords = 2;
const headerWords = 16;
const entryWords = 3;
/** Ids whose logits a draw may change. */
export const mostAdjusted = 4096;

/** Of a draw block, and where a token that was drawn stands. */
export const drawBlockLayout = {
  ...{ drawnWords, headerWords, entryWords },
  /** Words of the region behind a step block. */
  words: drawnSlots * drawnWords + headerWords + mostAdjusted * entryWords,
} as const;

/** Which programs a draw takes. */
export interface DrawShape {
  /** The greatest logit; no randomness. */
  readonly isGreedy: boolean;
  /** Some logits are changed before. */
  readonly isAdjusted: boolean;
  readonly hasTopK: boolean;
  readonly hasTopP: boolean;
}

/** How tokens of a text are drawn: filters that are off are 0 (top-k, min-p) or 1 (top-p). */
export interface DrawRule {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
  readonly frequencyPenalty: number;
  readonly presencePenalty: number;
}

export interface AdjustedLogit {
  readonly id: number;
  /** How often the penalties have seen it. */
  readonly count: number;
  /** Added before the penalties. */
  readonly bias: number;
}

/** Natural logarithms of weights are taken in this unit, and what is beyond it is too small to be drawn. */
const distanceUnit = 2 ** -22;

/** Writes draw blocks into one buffer that is reused from draw to draw. */
export class DrawBlock {
  readonly #words = new Uint32Array(headerWords + mostAdjusted * entryWords);
  readonly #floats = new Float32Array(this.#words.buffer);
  readonly #bytes = new Uint8Array(this.#words.buffer);

  /** What there is to write: the header and the entries. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, 4 * (headerWords + (this.#words[1] ?? 0) * entryWords));
  }

  begin(slot: number, rule: DrawRule, uniform: number): void {
    const [words, floats] = [this.#words, this.#floats];
    words.fill(0, 0, headerWords);
    words[0] = slot;
    words[7] = Math.floor(uniform * 2 ** 32);
    const { mantissa, shift } = steepnessOf(rule.temperature);
    words[8] = mantissa;
    words[9] = shift;
    words[10] = rule.topK;
    words[11] = Math.min(2 ** 32 - 1, Math.round(rule.topP * 2 ** 32));
    words[12] = Math.min(2 ** 32 - 1, Math.round(-Math.log(rule.minP) / distanceUnit));
    floats[13] = rule.repetitionPenalty;
    floats[14] = rule.frequencyPenalty;
    floats[15] = rule.presencePenalty;
  }

  /** Slots of the latest tokens; at most `mostUnread`. */
  lookBack(slots: readonly number[]): void {
    this.#words[2] = slots.length;
    this.#words.set(slots, 3);
  }

  /** Ids must ascend. */
  adjust(entries: readonly AdjustedLogit[]): void {
    if (entries.length > mostAdjusted) {
      throw new NearfieldError('internal', `A draw block holds at most ${mostAdjusted} entries`);
    }
    this.#words[1] = entries.length;
    for (let index = 0, at = headerWords; index < entries.length; index++, at += entryWords) {
      const { id, count, bias } = entries[index] as AdjustedLogit;
      this.#words[at] = id;
      this.#words[at + 1] = count;
      this.#floats[at + 2] = bias;
    }
  }
}

/** Temperatures that a draw block can express; 0 is not among them, for a greedy draw has none. */
export const drawnTemperatures = { least: 2 ** -20, most: 4 } as const;

/** 1 / (T · ln 2) = mantissa · 2^(shift' - 31), and the shift that turns units of 2^-22 times the mantissa into 2^-24. */
export function steepnessOf(temperature: number): { mantissa: number; shift: number } {
  const { least, most } = drawnTemperatures;
  const steepness = 1 / (Math.min(most, Math.max(least, temperature)) * Math.LN2);
  const exponent = Math.floor(Math.log2(steepness));
  const mantissa = Math.min(2 ** 32 - 1, Math.round(steepness * 2 ** (31 - exponent)));
  return { mantissa, shift: 29 - exponent };
}
