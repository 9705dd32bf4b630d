/**
 * The plain fit of the K formats with minimums (Q2_K, Q4_K, Q5_K): 256 values in sub-blocks, each value
 * scale · scaleCode · code − minimum · minimumCode with the last two factors of its sub-block.
 *
 * Let R be the widest range of a sub-block (zero always counted in), M the most negative value's magnitude, L and C the
 * largest code and the largest scale code. Error at most R/2L + R/2C + R/4LC + M/2C, plus (R + M)/1024 for the rounding
 * of scale and minimum to half.
 */
import { floatFromHalf, halfFromFloat } from '../base/half.ts';
import type { NumberFormat } from '../format.ts';
import { largest, smallest } from './extremes.ts';

export interface AffineShape {
  readonly subBlockValues: number;
  readonly largestCode: number;
  readonly largestScaleCode: number;
}

/** One super-block, filled by `fitAffine` and reused from block to block. */
export interface AffineFit {
  /** Both exactly representable as halves, not negative. */
  scale: number;
  minimum: number;
  /** One per sub-block. */
  readonly scaleCodes: Uint8Array;
  readonly minimumCodes: Uint8Array;
  /** One per value. */
  readonly codes: Uint8Array;
}

export function newAffineFit(): AffineFit {
  return {
    scale: 0,
    minimum: 0,
    scaleCodes: new Uint8Array(16),
    minimumCodes: new Uint8Array(16),
    codes: new Uint8Array(256),
  };
}

/** Has `write` put each block at `at` by its plain fit. */
export function encodeAffine(
  shape: AffineShape,
  blockBytes: number,
  write: (fit: AffineFit, target: Uint8Array, at: number) => void,
): NonNullable<NumberFormat['encode']> {
  return (source, sourceOffset, target, targetOffset, blockCount) => {
    const fit = newAffineFit();
    for (let block = 0; block < blockCount; block++) {
      fitAffine(source, sourceOffset + block * 256, shape, fit);
      write(fit, target, targetOffset + block * blockBytes);
    }
  };
}

function fitAffine(
  source: Float32Array | Float64Array,
  sourceOffset: number,
  shape: AffineShape,
  fit: AffineFit,
): void {
  const { subBlockValues, largestCode, largestScaleCode } = shape;
  let widestRange = 0;
  let deepest = 0;
  for (let first = 0; first < 256; first += subBlockValues) {
    const low = Math.min(0, smallest(source, sourceOffset + first, subBlockValues));
    const high = Math.max(0, largest(source, sourceOffset + first, subBlockValues));
    widestRange = Math.max(widestRange, high - low);
    deepest = Math.max(deepest, -low);
  }
  fit.scale = floatFromHalf(halfFromFloat(widestRange / (largestCode * largestScaleCode)));
  fit.minimum = floatFromHalf(halfFromFloat(deepest / largestScaleCode));

  for (let subBlock = 0; subBlock * subBlockValues < 256; subBlock++) {
    const first = subBlock * subBlockValues;
    const low = Math.min(0, smallest(source, sourceOffset + first, subBlockValues));
    const high = Math.max(0, largest(source, sourceOffset + first, subBlockValues));
    const scaleCode = nearestCode((high - low) / largestCode, fit.scale, largestScaleCode);
    const minimumCode = nearestCode(-low, fit.minimum, largestScaleCode);
    fit.scaleCodes[subBlock] = scaleCode;
    fit.minimumCodes[subBlock] = minimumCode;
    const step = fit.scale * scaleCode;
    const minimum = fit.minimum * minimumCode;
    for (let i = first; i < first + subBlockValues; i++) {
      fit.codes[i] = nearestCode((source[sourceOffset + i] ?? 0) + minimum, step, largestCode);
    }
  }
}

/** The integer in 0…`largestCode` whose multiple of `step` is nearest. */
function nearestCode(value: number, step: number, largestCode: number): number {
  return step === 0 ? 0 : Math.min(largestCode, Math.max(0, Math.round(value / step)));
}
