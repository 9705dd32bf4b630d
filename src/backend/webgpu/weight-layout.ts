/**
 * Packed weight layouts of the GPU: one table read by the packer (stores) and by the shader generator (loads).
 *
 * A matrix part of N rows and K columns is one binding of 16-byte vectors. Rows are cut in blocks along K; for block b of
 * row r, with i = r · blocks + b, each plane below holds `words` 32-bit words from word i · words on:
 *
 *   code planes  bits of 32 codes, lowest bits first as listed. `nibble`: byte j has code j low and code 16 + j high, as
 *                in the files; `byte`: byte j is code j; `pair`, `bit`: code j at bit 2j or j of 64 or 32 bits
 *   scales       halves: one or two (one for each 16 codes) per block, or one for two or four blocks of a row; then as
 *                many biases; or one bfloat16
 *   factors      one float32 per row, a power of two, by which all scales and biases of the row are divided
 *
 * A value is factor · (scale · (code − zero) + bias), or factor · scale · levels[code]. The codes of `E0M4` and its kin
 * become 1 + code / 2^bits by an AND and an OR into the mantissa of a float, or two at a time of halves; what is added to
 * code leaves the inner loop.
 * Float matrices are rows of 32-bit or 16-bit floats in blocks of four.
 */
import { known, NearfieldError } from '../../base/error.ts';
import type { NumberFormat } from '../../format.ts';
import type { TensorType } from '../../tensor.ts';

export type Plane = 'nibble' | 'pair' | 'bit' | 'byte';

/** Bits per code. */
export const planeBits: Readonly<Record<Plane, number>> = { nibble: 4, pair: 2, bit: 1, byte: 8 };

export interface BlockLayout {
  readonly kind: 'block';
  readonly name: string;
  readonly planes: readonly Plane[];
  readonly scale: 'half' | 'bfloat';
  /** Scales per block of 32, or one for so many blocks along K. */
  readonly scales: 1 | 2;
  readonly blocksPerScale: 1 | 2 | 4;
  readonly bias: boolean;
  readonly zero: number;
  readonly levels?: readonly number[];
}

export interface FloatLayout {
  readonly kind: 'float';
  readonly name: 'f32' | 'f16' | 'bf16';
}

export type WeightLayout = BlockLayout | FloatLayout;

const iq4Levels = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
/** Twice the numbers of E2M1. */
const microscalingLevels = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/** Of grids with signs (IQ3_XXS, IQ3_S, the IQ2 formats), of levels moved by an eighth up or down (IQ1), of few bits. */
const threeBitGrid = [-62, -52, -44, -36, -28, -20, -12, -4, 4, 12, 20, 28, 36, 44, 52, 62];
const threeBitOdd = [-15, -13, -11, -9, -7, -5, -3, -1, 1, 3, 5, 7, 9, 11, 13, 15];
const twoBitGrid = [-43, -25, -8, 8, 25, 43];
const oneBitGrid = [-9, -7, -1, 1, 7, 9];

const block = (
  name: string,
  planes: readonly Plane[],
  zero: number,
  rest: Partial<Pick<BlockLayout, 'scale' | 'scales' | 'blocksPerScale' | 'bias' | 'levels'>> = {},
): BlockLayout => ({
  ...{ kind: 'block', name, planes, zero },
  ...{ scale: 'half', scales: 1, blocksPerScale: 1, bias: false, ...rest },
});

const symmetric = block('e0m4', ['nibble'], 8);
const affine = block('e0m4-affine', ['nibble'], 0, { bias: true });
const affine64 = block('e0m4-affine-64', ['nibble'], 0, { bias: true, blocksPerScale: 2 });
const affine128 = block('e0m4-affine-128', ['nibble'], 0, { bias: true, blocksPerScale: 4 });
const uneven = block('uneven', ['nibble'], 0, { levels: iq4Levels });
const five = block('e0m5', ['nibble', 'bit'], 16);
const fiveAffine = block('e0m5-affine', ['nibble', 'bit'], 0, { bias: true });
const byte = block('e0m8', ['byte'], 128);
const six = block('e0m6', ['nibble', 'pair'], 32, { scales: 2 });
const three = block('e0m3', ['pair', 'bit'], 4, { scales: 2 });
const twoAffine = block('e0m2-affine', ['pair'], 0, { scales: 2, bias: true });
const microscaling = block('microscaling', ['nibble'], 0, { scale: 'bfloat', levels: microscalingLevels });

const uneven16 = (name: string, planes: readonly Plane[], levels: readonly number[]): BlockLayout =>
  block(name, planes, 0, { scales: 2, levels });
const microscalingPair = uneven16('microscaling-pair', ['nibble'], microscalingLevels);
const gridThree = uneven16('grid-three', ['nibble'], threeBitGrid);
const gridOdd = uneven16('grid-odd', ['nibble'], threeBitOdd);
const gridTwo = uneven16('grid-two', ['pair', 'bit'], twoBitGrid);
const gridOne = uneven16('grid-one', ['pair', 'bit'], oneBitGrid);
const few = uneven16('few', ['pair'], [-1, 0, 1, 2]);
const signs = uneven16('signs', ['bit'], [-1, 1]);

/** Scales of K-quants are products, rounded once to a half; those of the others fit as they are. */
const rounded = 2 ** -11;
/** 32 terms of up to 2^(bits + 1) steps, where the largest value may be 2^(bits − 1): 34 · 4 units of float32. */
const offset = 2 ** -16;

interface Packing {
  readonly layout: WeightLayout;
  /** Largest error as a share of the largest magnitude in a group of 32. */
  readonly roundoff: number;
}

const table: ReadonlyMap<string, Packing> = new Map<string, Packing>([
  ['f32', { layout: { kind: 'float', name: 'f32' }, roundoff: 0 }],
  ['f16', { layout: { kind: 'float', name: 'f16' }, roundoff: 0 }],
  ['bf16', { layout: { kind: 'float', name: 'bf16' }, roundoff: 0 }],
  ['q4_0', { layout: symmetric, roundoff: offset }],
  ['q4_1', { layout: affine, roundoff: 3 * rounded }],
  ['q5_0', { layout: five, roundoff: offset }],
  ['q5_1', { layout: fiveAffine, roundoff: 3 * rounded }],
  ['q8_0', { layout: byte, roundoff: offset }],
  ['q2_k', { layout: twoAffine, roundoff: 3 * rounded }],
  ['q3_k', { layout: three, roundoff: rounded + offset }],
  ['q4_k', { layout: affine, roundoff: 3 * rounded }],
  ['q5_k', { layout: fiveAffine, roundoff: 3 * rounded }],
  ['q6_k', { layout: six, roundoff: rounded + offset }],
  ['iq4_nl', { layout: uneven, roundoff: offset }],
  ['iq4_xs', { layout: uneven, roundoff: rounded + offset }],
  ['mxfp4', { layout: microscaling, roundoff: offset }],
  ['nvfp4', { layout: microscalingPair, roundoff: rounded }],
  ['iq1_s', { layout: gridOne, roundoff: rounded }],
  ['iq1_m', { layout: gridOne, roundoff: rounded }],
  ['iq2_xxs', { layout: gridTwo, roundoff: rounded }],
  ['iq2_xs', { layout: gridTwo, roundoff: rounded }],
  ['iq2_s', { layout: gridTwo, roundoff: rounded }],
  ['iq3_xxs', { layout: gridThree, roundoff: rounded }],
  ['iq3_s', { layout: gridOdd, roundoff: rounded }],
  ['tq1_0', { layout: few, roundoff: rounded }],
  ['tq2_0', { layout: few, roundoff: rounded }],
  ['q1_0', { layout: signs, roundoff: rounded }],
  ['q2_0', { layout: few, roundoff: rounded }],
  ['e0m4_32', { layout: affine, roundoff: 3 * rounded }],
  ['e0m4_64', { layout: affine64, roundoff: 3 * rounded }],
  ['e0m4_128', { layout: affine128, roundoff: 3 * rounded }],
]);

/** Changes whenever packed bytes do. */
export const packedLayout = `webgpu 1 ${JSON.stringify([...table])}`;

export function packingOf(format: NumberFormat): Packing | undefined {
  return table.get(format.name);
}

export function layoutOf(format: NumberFormat): WeightLayout {
  const packing = packingOf(format);
  if (packing) return packing.layout;
  throw new NearfieldError('unsupported', `The webgpu backend has no kernel for ${format.name} weights`);
}

export const blockValuesOf = (layout: WeightLayout): number => (layout.kind === 'float' ? 4 : 32);

const floatWords = { f32: 4, f16: 2, bf16: 2 } as const;
export const wordsPerFloatBlock = ({ name }: FloatLayout): number => floatWords[name];

/** 16-bit numbers of scale and bias per block, or per blocks that share them. */
export const scaleCount = ({ scales, bias }: BlockLayout): number => scales * (bias ? 2 : 1);

export const codeBits = ({ planes }: BlockLayout): number =>
  planes.reduce((sum, plane) => sum + planeBits[plane], 0);

/** Rows of a matrix that lie in one binding. Offsets are in bytes from the part's beginning. */
export interface PartLayout {
  readonly planes: readonly number[];
  readonly scales: number;
  readonly factors: number;
  readonly byteLength: number;
}

const align = (bytes: number, unit: number): number => Math.ceil(bytes / unit) * unit;

/** Bindings begin at multiples of this. */
export const bindingAlignment = 256;

export function partLayout(layout: WeightLayout, rows: number, columns: number): PartLayout {
  const blocks = rows * Math.ceil(columns / blockValuesOf(layout));
  if (layout.kind === 'float') {
    const byteLength = align(blocks * wordsPerFloatBlock(layout) * 4, bindingAlignment);
    return { planes: [0], scales: 0, factors: 0, byteLength };
  }
  let end = 0;
  const take = (bytes: number): number => {
    const start = end;
    end += align(bytes, 16);
    return start;
  };
  const planes = layout.planes.map((plane) => take(blocks * planeBits[plane] * 4));
  const scales = take((blocks / layout.blocksPerScale) * scaleCount(layout) * 2);
  const factors = take(rows * 4);
  return { planes, scales, factors, byteLength: align(end, bindingAlignment) };
}

export interface WeightPart extends PartLayout {
  readonly firstRow: number;
  readonly rows: number;
  /** From the beginning of the weight. */
  readonly offset: number;
}

export interface WeightSize {
  readonly rows: number;
  readonly columns: number;
  /** Kept as float32 whatever the format, one value after the other: vectors, and tables whose rows four does not divide. */
  readonly isPlain: boolean;
  readonly layout: WeightLayout;
  readonly parts: readonly WeightPart[];
  readonly byteLength: number;
}

const plainLayout: FloatLayout = { kind: 'float', name: 'f32' };
const plainPart = (values: number): PartLayout => ({
  ...{ planes: [0], scales: 0, factors: 0 },
  byteLength: align(values * 4, bindingAlignment),
});

/** Rows of a part are a multiple of this, so that two parts and pieces of a part begin at whole words. */
export const partRows = 16;

/** How a weight is cut so that no part is larger than a binding may be. */
export function weightSize({ format, shape }: TensorType<NumberFormat>, bindingBytes: number): WeightSize {
  const sizes = shape.map((size) => {
    if (typeof size !== 'number') throw new NearfieldError('internal', 'A weight has a fixed shape');
    return size;
  });
  const columns = known(sizes.at(-1), 'columns of a weight');
  const rows = sizes.slice(0, -1).reduce((product, size) => product * size, 1);
  const kept = layoutOf(format);
  const isPlain = sizes.length === 1 || columns % blockValuesOf(kept) !== 0;
  const layout = isPlain ? plainLayout : kept;
  const place = (count: number): PartLayout =>
    isPlain ? plainPart(count * columns) : partLayout(layout, count, columns);
  const rowBytes = place(partRows * 16).byteLength / (partRows * 16);
  const most = Math.max(partRows, Math.floor(bindingBytes / rowBytes / partRows - 1) * partRows);
  const parts: WeightPart[] = [];
  let offset = 0;
  for (let firstRow = 0; firstRow < rows; firstRow += most) {
    const count = Math.min(most, rows - firstRow);
    const part = place(count);
    parts.push({ ...part, firstRow, rows: count, offset });
    offset += part.byteLength;
  }
  return { rows, columns, isPlain, layout, parts, byteLength: offset };
}
