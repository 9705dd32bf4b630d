/**
 * Counter-based random numbers: a number is a function of (seed, position, stream) alone, so it does not matter in which
 * order, how often, or on which thread numbers are asked for. Philox 4x32 with ten rounds (Salmon, Moraes, Dror, Shaw:
 * "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 */
import { NearfieldError } from './error.ts';

/** Four 32-bit words, unsigned. */
export type PhiloxWords = readonly [number, number, number, number];

const multiplierA = 0xd2511f53;
const multiplierB = 0xcd9e8d57;
const keyStepA = 0x9e3779b9;
const keyStepB = 0xbb67ae85;

/** Upper 32 bits of the 64-bit product of two unsigned 32-bit numbers. */
function upperProduct(a: number, b: number): number {
  const [aHigh, aLow, bHigh, bLow] = [a >>> 16, a & 0xffff, b >>> 16, b & 0xffff];
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const cross = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + (cross >>> 16)) >>> 0;
}

/** The block that belongs to a 128-bit counter and a 64-bit key, least significant word first. */
export function philox(counter: PhiloxWords, keyLow: number, keyHigh: number): PhiloxWords {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = [keyLow, keyHigh];
  for (let round = 0; round < 10; round++) {
    const next0 = upperProduct(multiplierB, c2) ^ c1 ^ k0;
    const next2 = upperProduct(multiplierA, c0) ^ c3 ^ k1;
    c1 = Math.imul(multiplierB, c2) >>> 0;
    c3 = Math.imul(multiplierA, c0) >>> 0;
    c0 = next0 >>> 0;
    c2 = next2 >>> 0;
    k0 = (k0 + keyStepA) >>> 0;
    k1 = (k1 + keyStepB) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** Seeds are integers 0…2^53-1; anything else throws `bad-argument`. */
export function checkSeed(seed: number): number {
  if (Number.isSafeInteger(seed) && seed >= 0) return seed;
  throw new NearfieldError('bad-argument', `Seed ${seed} is not an integer from 0 to 2^53 - 1`);
}

/** A multiple of 2^-53 in [0, 1). `stream` separates the numbers of one position from each other. */
export function uniformAt(seed: number, position: number, stream = 0): number {
  const counter: PhiloxWords = [position >>> 0, Math.floor(position / 2 ** 32) >>> 0, stream >>> 0, 0];
  const [high, low] = philox(counter, seed >>> 0, Math.floor(seed / 2 ** 32));
  return ((high >>> 5) * 2 ** 26 + (low >>> 6)) / 2 ** 53;
}

/** A seed nobody chose. */
export function freshSeed(): number {
  const [high = 0, low = 0] = globalThis.crypto.getRandomValues(new Uint32Array(2));
  return (high >>> 11) * 2 ** 32 + low;
}
