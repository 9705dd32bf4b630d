/** Packed weights of random bits, and what they stand for by the description of their layout, in float64. */
import { floatFromBfloat, floatFromHalf } from '../../../base/half.ts';
import { floatBits } from '../shader/kernel.ts';
import {
  type BlockLayout,
  type PartLayout,
  type Plane,
  partLayout,
  planeBits,
  scaleCount,
  type WeightLayout,
} from '../weight-layout.ts';
import { noiseWord } from './noise.ts';

export interface PackedPart {
  readonly place: PartLayout;
  readonly words: Uint32Array<ArrayBuffer>;
  /** Row by row. */
  readonly values: Float64Array;
}

/** Values along K of a case: three blocks, so that lanes have unequal shares, or three times those that share a scale. */
export const innerOf = (layouts: readonly WeightLayout[]): number =>
  96 * Math.max(...layouts.map((layout) => (layout.kind === 'block' ? layout.blocksPerScale : 1)));

export function packedPart(layout: WeightLayout, rows: number, columns: number, stream: number): PackedPart {
  const place = partLayout(layout, rows, columns);
  const words = randomPart(layout, place, rows, stream);
  return { place, words, values: decodePart(layout, place, words, rows, columns) };
}

/** Where its planes, scales and factors begin, as parameters. */
export function placeParams(place: PartLayout, name: string): Record<string, number> {
  return {
    [`${name}plane0`]: (place.planes[0] ?? 0) / 4,
    [`${name}plane1`]: (place.planes[1] ?? 0) / 4,
    [`${name}scales`]: place.scales / 4,
    [`${name}factors`]: place.factors / 4,
  };
}

/** Random bits as codes; scales, biases and floats of ordinary size; factors that are powers of two. */
function randomPart(
  layout: WeightLayout,
  place: PartLayout,
  rows: number,
  stream: number,
): Uint32Array<ArrayBuffer> {
  const words = Uint32Array.from({ length: place.byteLength / 4 }, (_, index) => noiseWord(index, stream));
  const halves = new Uint16Array(words.buffer);
  // From 1 to 2, of either sign.
  const half = (bits: number): number => (bits & 0x83ff) | 0x3c00;
  const bfloat = (bits: number): number => (bits & 0x807f) | 0x3f80;
  if (layout.kind === 'float') {
    if (layout.name === 'f32')
      for (let i = 0; i < words.length; i++) words[i] = floatBits((words[i] ?? 0) / 2 ** 31 - 1);
    else
      for (let i = 0; i < halves.length; i++)
        halves[i] = (layout.name === 'f16' ? half : bfloat)(halves[i] ?? 0);
    return words;
  }
  for (let i = place.scales / 2; i < place.factors / 2; i++) {
    halves[i] = (layout.scale === 'half' ? half : bfloat)(halves[i] ?? 0);
  }
  for (let row = 0; row < rows; row++) words[place.factors / 4 + row] = floatBits(row % 2 === 0 ? 0.5 : 0.25);
  return words;
}

const codeAt: Readonly<
  Record<Plane, (words: Uint32Array, at: number, block: number, code: number) => number>
> = {
  nibble: (words, at, block, code) =>
    ((words[at + block * 4 + ((code & 15) >> 2)] ?? 0) >>> (8 * (code & 3) + (code >= 16 ? 4 : 0))) & 15,
  byte: (words, at, block, code) => ((words[at + block * 8 + (code >> 2)] ?? 0) >>> (8 * (code & 3))) & 255,
  pair: (words, at, block, code) => ((words[at + block * 2 + (code >> 4)] ?? 0) >>> (2 * (code & 15))) & 3,
  bit: (words, at, block, code) => ((words[at + block] ?? 0) >>> code) & 1,
};

function decodePart(
  layout: WeightLayout,
  place: PartLayout,
  words: Uint32Array<ArrayBuffer>,
  rows: number,
  columns: number,
): Float64Array {
  const values = new Float64Array(rows * columns);
  const halves = new Uint16Array(words.buffer);
  const floats = new Float32Array(words.buffer);
  if (layout.kind === 'float') {
    const read = layout.name === 'f16' ? floatFromHalf : floatFromBfloat;
    return values.map((_, index) =>
      layout.name === 'f32' ? (floats[index] ?? 0) : read(halves[index] ?? 0),
    );
  }
  return values.map((_, index) => {
    const [block, code] = [Math.floor(index / 32), index % 32];
    const factor = floats[place.factors / 4 + Math.floor(index / columns)] ?? 0;
    return factor * blockValue(layout, place, words, halves, block, code);
  });
}

function blockValue(
  layout: BlockLayout,
  place: PartLayout,
  words: Uint32Array,
  halves: Uint16Array,
  block: number,
  position: number,
): number {
  let code = 0;
  let below = 0;
  layout.planes.forEach((plane, index) => {
    code |= codeAt[plane](words, (place.planes[index] ?? 0) / 4, block, position) << below;
    below += planeBits[plane];
  });
  const half = layout.scales === 2 && position >= 16 ? 1 : 0;
  const group = Math.floor(block / layout.blocksPerScale);
  const number = (index: number): number => {
    const bits = halves[place.scales / 2 + group * scaleCount(layout) + index] ?? 0;
    return layout.scale === 'half' ? floatFromHalf(bits) : floatFromBfloat(bits);
  };
  // Codes beyond a table's levels stand for nothing; kernels give them -128.
  if (layout.levels) return number(half) * (layout.levels[code] ?? -128);
  const bias = layout.bias ? number(layout.scales + half) : 0;
  return number(half) * (code - layout.zero) + bias;
}
