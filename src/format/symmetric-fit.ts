/**
 * The plain fit of the super-blocks without minimums (Q3_K, Q6_K, IQ4_XS): 256 values in sub-blocks, each value
 * scale · scaleCode · level with a signed scale code of its sub-block; codes number the levels.
 *
 * In each sub-block the value of largest magnitude is laid on the lowest level, −B. Let m be the largest magnitude of all
 * and −C the lowest scale code. Error at most m/C (the rounding of the scale code), plus what the levels cost at m (the
 * larger of half the widest gap and the distance from B to the highest level, over B, times m), plus m/1024.
 */
import { floatFromHalf, halfFromFloat } from '../base/half.ts';
import type { NumberFormat } from '../format.ts';
import { signedExtreme } from './extremes.ts';
import type { Levels } from './search/levels.ts';

export interface SymmetricShape {
  readonly subBlockValues: number;
  readonly lowestLevel: number;
  readonly lowestScaleCode: number;
  /** Code of the level nearest to a real number. */
  nearestCode(level: number): number;
  /** The same for the close search. */
  readonly levels: Levels;
}

/** One super-block, filled by `fitSymmetric` and reused from block to block. */
export interface SymmetricFit {
  /** Exactly representable as a half; may be negative. */
  scale: number;
  /** One per sub-block, from lowestScaleCode to −lowestScaleCode − 1. */
  readonly scaleCodes: Int8Array;
  /** One per value. */
  readonly codes: Uint8Array;
}

export function newSymmetricFit(): SymmetricFit {
  return { scale: 0, scaleCodes: new Int8Array(16), codes: new Uint8Array(256) };
}

/** Has `write` put each block at `at` by its plain fit. */
export function encodeSymmetric(
  shape: SymmetricShape,
  blockBytes: number,
  write: (fit: SymmetricFit, target: Uint8Array, at: number) => void,
): NonNullable<NumberFormat['encode']> {
  return (source, sourceOffset, target, targetOffset, blockCount) => {
    const fit = newSymmetricFit();
    for (let block = 0; block < blockCount; block++) {
      fitSymmetric(source, sourceOffset + block * 256, shape, fit);
      write(fit, target, targetOffset + block * blockBytes);
    }
  };
}

function fitSymmetric(
  source: Float32Array | Float64Array,
  sourceOffset: number,
  shape: SymmetricShape,
  fit: SymmetricFit,
): void {
  const { subBlockValues, lowestLevel, lowestScaleCode } = shape;
  // A sub-block's scale is its extreme over the lowest level; the widest of them lands on the lowest scale code.
  const widest = signedExtreme(source, sourceOffset, 256) / lowestLevel;
  fit.scale = floatFromHalf(halfFromFloat(widest / lowestScaleCode));
  const inverse = fit.scale === 0 ? 0 : 1 / fit.scale;

  for (let subBlock = 0; subBlock * subBlockValues < 256; subBlock++) {
    const first = sourceOffset + subBlock * subBlockValues;
    const subScale = signedExtreme(source, first, subBlockValues) / lowestLevel;
    const rounded = Math.round(subScale * inverse);
    const scaleCode = Math.max(lowestScaleCode, Math.min(-lowestScaleCode - 1, rounded));
    fit.scaleCodes[subBlock] = scaleCode;
    const step = fit.scale * scaleCode;
    const inverseStep = step === 0 ? 0 : 1 / step;
    for (let i = 0; i < subBlockValues; i++) {
      fit.codes[subBlock * subBlockValues + i] = shape.nearestCode((source[first + i] ?? 0) * inverseStep);
    }
  }
}
