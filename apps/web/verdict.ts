/** What an estimate comes to, in one or two sentences. */
import type { ModelEstimate } from '../../src/index.ts';
import { sayBytes, sayRoughRate } from './words.ts';

export interface Verdict {
  readonly tone: 'good' | 'doubtful' | 'bad';
  readonly fit: string;
  /** Undefined where it was not measured. */
  readonly speed: string | undefined;
}

/** Below this, in tokens per second, writing is slower than reading aloud. */
const slowRate = 3;

/** Beyond this, what a page does with a token takes as long as computing it, and is not measured. */
const quickRate = 200;

const sayWriting = (rate: number): string =>
  rate > quickRate ? `more than ${sayRoughRate(quickRate)}` : `about ${sayRoughRate(rate)}`;

export function verdictOf(estimate: ModelEstimate): Verdict {
  const { memory, fits, fitsFullContext, largestContext, availableBytes, streaming, contextLength } =
    estimate;
  const { startBytes, fullBytes } = memory;
  const [first] = estimate.speeds;
  const speed =
    first &&
    `It writes ${sayWriting(first.decodeTokensPerSecond)} here and reads about ${sayRoughRate(first.prefillTokensPerSecond)}.`;
  const isSlow = first !== undefined && first.decodeTokensPerSecond < slowRate;
  if (fits === false && !streaming) {
    const there = availableBytes === undefined ? '' : `; there is ${sayBytes(availableBytes)}`;
    return {
      tone: 'bad',
      fit: `Does not fit: it needs ${sayBytes(startBytes)} of memory${there}. Set a memory limit to read part of it from disk, or choose a smaller model.`,
      speed,
    };
  }
  if (streaming) {
    const { streamedLayers, residentLayers, bytesPerPass } = streaming;
    return {
      tone: 'doubtful',
      fit: `Fits with ${streamedLayers} of ${streamedLayers + residentLayers} layers read from disk, ${sayBytes(bytesPerPass)} for each token.`,
      speed,
    };
  }
  if (fitsFullContext === false && largestContext !== undefined) {
    return {
      tone: 'doubtful',
      fit: `Fits with ${largestContext.toLocaleString('en')} of ${contextLength.toLocaleString('en')} tokens of context; it begins with ${sayBytes(startBytes)} of memory.`,
      speed,
    };
  }
  const certainty = fits === undefined && startBytes > 2e9 ? 'Should fit' : 'Fits';
  const growth = fullBytes > startBytes * 1.02 ? `, up to ${sayBytes(fullBytes)} in long conversations` : '';
  return {
    tone: isSlow ? 'doubtful' : 'good',
    fit: `${certainty}: it takes ${sayBytes(startBytes)} of memory${growth}.`,
    speed,
  };
}

/** Memory a page may come to hold, where the browser tells of little; most tell nothing. */
export function availableBytes(): number | undefined {
  const { deviceMemory } = navigator as { readonly deviceMemory?: number };
  // 8 stands for 8 or more. About half is the browser's and the system's.
  return deviceMemory !== undefined && deviceMemory < 8 ? (deviceMemory * 2 ** 30) / 2 : undefined;
}
