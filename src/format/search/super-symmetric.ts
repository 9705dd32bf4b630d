/**
 * The close fit of super-blocks without minimums (Q3_K, Q6_K, IQ4_XS): 256 values in sub-blocks, each value
 * scale · scaleCode · level. Each sub-block's scale is searched alone; then, in turn, every scale code and its neighbours
 * are tried and the common scale is solved for by least squares.
 */
import { floatFromHalf, halfFromFloat } from '../../base/half.ts';
import { newSymmetricFit, type SymmetricFit, type SymmetricShape } from '../symmetric-fit.ts';
import { scaleError, searchScale } from './scale.ts';
import { type CloseEncoder, WeightedValues } from './weighted-values.ts';

const rounds = 2;

/** Has `write` put each block at `at` by the fit that was found. */
export function encodeSymmetricClosely(
  shape: SymmetricShape,
  blockBytes: number,
  write: (fit: SymmetricFit, target: Uint8Array, at: number) => void,
): CloseEncoder {
  return (source, sourceOffset, target, targetOffset, blockCount, importance) => {
    const [values, fit] = [new WeightedValues(256), newSymmetricFit()];
    for (let block = 0; block < blockCount; block++) {
      values.load({ source, sourceOffset, blockCount, importance }, block);
      searchSymmetric(values, shape, fit);
      write(fit, target, targetOffset + block * blockBytes);
    }
  };
}

/** As `fitSymmetric`, with the least weighted error that was found. */
function searchSymmetric(block: WeightedValues, shape: SymmetricShape, fit: SymmetricFit): void {
  const { subBlockValues, lowestScaleCode, levels } = shape;
  const subBlocks = 256 / subBlockValues;
  const wanted = new Float64Array(subBlocks);
  let widest = 0;
  for (let subBlock = 0; subBlock < subBlocks; subBlock++) {
    const scale = searchScale(block, subBlock * subBlockValues, subBlockValues, levels);
    wanted[subBlock] = scale;
    if (Math.abs(scale) > Math.abs(widest)) widest = scale;
  }
  let scale = half(widest / lowestScaleCode);
  let least = Number.POSITIVE_INFINITY;
  const scaleCodes = new Int8Array(subBlocks);
  for (let round = 0; ; round++) {
    const error = chooseScaleCodes(block, shape, scale, wanted, scaleCodes);
    if (error < least) {
      least = error;
      fit.scale = scale;
      fit.scaleCodes.set(scaleCodes);
    }
    if (round === rounds) break;
    const better = half(solveScale(block, shape, scale, scaleCodes));
    if (better === scale || better === 0) break;
    scale = better;
  }
  for (let subBlock = 0; subBlock < subBlocks; subBlock++) {
    const step = fit.scale * (fit.scaleCodes[subBlock] ?? 0);
    const inverse = step === 0 ? 0 : 1 / step;
    for (let i = subBlock * subBlockValues; i < (subBlock + 1) * subBlockValues; i++) {
      fit.codes[i] = shape.nearestCode((block.values[i] ?? 0) * inverse);
    }
  }
}

/** For every sub-block the code that leaves least error, among those beside what it wants. Returns the error of all. */
function chooseScaleCodes(
  block: WeightedValues,
  { subBlockValues, lowestScaleCode, levels }: SymmetricShape,
  scale: number,
  wanted: Float64Array,
  scaleCodes: Int8Array,
): number {
  const inverse = scale === 0 ? 0 : 1 / scale;
  let total = 0;
  for (let subBlock = 0; subBlock < scaleCodes.length; subBlock++) {
    const near = Math.round((wanted[subBlock] ?? 0) * inverse);
    let least = Number.POSITIVE_INFINITY;
    for (let code = near - 1; code <= near + 1; code++) {
      if (code < lowestScaleCode || code >= -lowestScaleCode) continue;
      const error = scaleError(block, subBlock * subBlockValues, subBlockValues, levels, scale * code);
      if (error < least) {
        least = error;
        scaleCodes[subBlock] = code;
      }
    }
    total += least;
  }
  return total;
}

/** The common scale that is best for the codes and levels that `scale` gives. */
function solveScale(
  { values, weights }: WeightedValues,
  { subBlockValues, levels }: SymmetricShape,
  scale: number,
  scaleCodes: Int8Array,
): number {
  const { lowest, resolution, nearest } = levels;
  let [products, squares] = [0, 0];
  for (let i = 0; i < 256; i++) {
    const scaleCode = scaleCodes[Math.floor(i / subBlockValues)] ?? 0;
    if (scaleCode === 0 || scale === 0) continue;
    const value = values[i] ?? 0;
    const place = Math.round((value / (scale * scaleCode) - lowest) * resolution);
    const level = nearest[Math.max(0, Math.min(nearest.length - 1, place))] ?? 0;
    const factor = scaleCode * level;
    const weighted = (weights[i] ?? 0) * factor;
    products += weighted * value;
    squares += weighted * factor;
  }
  return squares > 0 ? products / squares : scale;
}

function half(value: number): number {
  return floatFromHalf(halfFromFloat(value));
}
