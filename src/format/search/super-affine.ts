/**
 * The close fit of super-blocks with minimums (Q2_K, Q4_K, Q5_K): 256 values in sub-blocks, each value
 * scale · scaleCode · code − minimum · minimumCode. Each sub-block's line is searched alone; then, in turn, every pair of
 * scale and minimum code and its neighbours are tried and the two common factors are solved for by least squares.
 */
import { floatFromHalf, halfFromFloat } from '../../base/half.ts';
import { type AffineFit, type AffineShape, newAffineFit } from '../affine-fit.ts';
import { type Line, lineError, searchLine } from './line.ts';
import { type CloseEncoder, WeightedValues } from './weighted-values.ts';

const rounds = 2;

/** Codes of one state of the search, and the factors they belong to. */
interface Factors {
  scale: number;
  minimum: number;
}

/** Has `write` put each block at `at` by the fit that was found. */
export function encodeAffineClosely(
  shape: AffineShape,
  blockBytes: number,
  write: (fit: AffineFit, target: Uint8Array, at: number) => void,
): CloseEncoder {
  return (source, sourceOffset, target, targetOffset, blockCount, importance) => {
    const [values, fit] = [new WeightedValues(256), newAffineFit()];
    for (let block = 0; block < blockCount; block++) {
      values.load({ source, sourceOffset, blockCount, importance }, block);
      searchAffine(values, shape, fit);
      write(fit, target, targetOffset + block * blockBytes);
    }
  };
}

/** As `fitAffine`, with the least weighted error that was found. */
function searchAffine(block: WeightedValues, shape: AffineShape, fit: AffineFit): void {
  const { subBlockValues, largestCode, largestScaleCode } = shape;
  const subBlocks = 256 / subBlockValues;
  const wanted = Array.from({ length: subBlocks }, (): Line => ({ scale: 0, offset: 0, error: 0 }));
  let [widest, deepest] = [0, 0];
  for (const [subBlock, line] of wanted.entries()) {
    searchLine(block, subBlock * subBlockValues, subBlockValues, largestCode, false, line);
    widest = Math.max(widest, line.scale);
    deepest = Math.max(deepest, -line.offset);
  }
  let factors: Factors = {
    scale: half(widest / largestScaleCode),
    minimum: half(deepest / largestScaleCode),
  };
  let least = Number.POSITIVE_INFINITY;
  const scaleCodes = new Uint8Array(subBlocks);
  const minimumCodes = new Uint8Array(subBlocks);
  for (let round = 0; ; round++) {
    const error = chooseCodes(block, shape, factors, wanted, scaleCodes, minimumCodes);
    if (error < least) {
      least = error;
      fit.scale = factors.scale;
      fit.minimum = factors.minimum;
      fit.scaleCodes.set(scaleCodes);
      fit.minimumCodes.set(minimumCodes);
    }
    if (round === rounds) break;
    const better = solveFactors(block, shape, factors, scaleCodes, minimumCodes);
    if (better.scale === factors.scale && better.minimum === factors.minimum) break;
    factors = better;
  }
  for (let subBlock = 0; subBlock < subBlocks; subBlock++) {
    const step = fit.scale * (fit.scaleCodes[subBlock] ?? 0);
    const minimum = fit.minimum * (fit.minimumCodes[subBlock] ?? 0);
    for (let i = subBlock * subBlockValues; i < (subBlock + 1) * subBlockValues; i++) {
      const code = step === 0 ? 0 : Math.round(((block.values[i] ?? 0) + minimum) / step);
      fit.codes[i] = Math.max(0, Math.min(largestCode, code));
    }
  }
}

/** For every sub-block the pair of codes that leaves least error, among those beside what it wants. Returns the error of all. */
function chooseCodes(
  block: WeightedValues,
  { subBlockValues, largestCode, largestScaleCode }: AffineShape,
  { scale, minimum }: Factors,
  wanted: readonly Line[],
  scaleCodes: Uint8Array,
  minimumCodes: Uint8Array,
): number {
  let total = 0;
  for (const [subBlock, line] of wanted.entries()) {
    const nearScale = scale === 0 ? 0 : Math.round(line.scale / scale);
    const nearMinimum = minimum === 0 ? 0 : Math.round(-line.offset / minimum);
    let least = Number.POSITIVE_INFINITY;
    for (let scaleCode = nearScale - 1; scaleCode <= nearScale + 1; scaleCode++) {
      if (scaleCode < 0 || scaleCode > largestScaleCode) continue;
      for (let minimumCode = nearMinimum - 1; minimumCode <= nearMinimum + 1; minimumCode++) {
        if (minimumCode < 0 || minimumCode > largestScaleCode) continue;
        const first = subBlock * subBlockValues;
        const error = lineError(
          block,
          first,
          subBlockValues,
          largestCode,
          scale * scaleCode,
          -minimum * minimumCode,
        );
        if (error < least) {
          least = error;
          scaleCodes[subBlock] = scaleCode;
          minimumCodes[subBlock] = minimumCode;
        }
      }
    }
    total += least;
  }
  return total;
}

/** The common factors that are best for the codes that `factors` give. */
function solveFactors(
  { values, weights }: WeightedValues,
  { subBlockValues, largestCode }: AffineShape,
  factors: Factors,
  scaleCodes: Uint8Array,
  minimumCodes: Uint8Array,
): Factors {
  // v ≈ scale · a − minimum · b
  let [sumAA, sumAB, sumBB, sumAV, sumBV] = [0, 0, 0, 0, 0];
  for (let i = 0; i < 256; i++) {
    const subBlock = Math.floor(i / subBlockValues);
    const b = minimumCodes[subBlock] ?? 0;
    const step = factors.scale * (scaleCodes[subBlock] ?? 0);
    const value = values[i] ?? 0;
    const code = step === 0 ? 0 : Math.round((value + factors.minimum * b) / step);
    const a = (scaleCodes[subBlock] ?? 0) * Math.max(0, Math.min(largestCode, code));
    const weight = weights[i] ?? 0;
    sumAA += weight * a * a;
    sumAB += weight * a * b;
    sumBB += weight * b * b;
    sumAV += weight * a * value;
    sumBV += weight * b * value;
  }
  const determinant = sumAA * sumBB - sumAB * sumAB;
  if (determinant > 0) {
    const scale = half((sumAV * sumBB - sumBV * sumAB) / determinant);
    const minimum = half((sumAB * sumAV - sumAA * sumBV) / determinant);
    if (scale > 0 && minimum >= 0) return { scale, minimum };
  }
  return sumAA > 0 && sumBB === 0 ? { scale: half(sumAV / sumAA), minimum: factors.minimum } : factors;
}

function half(value: number): number {
  return floatFromHalf(halfFromFloat(value));
}
