/**
 * Packed weight layouts: how quantized matrices sit in WebAssembly memory. One table read by the host (sizes), by the
 * kernel generator (loads) and by the packing kernels (stores).
 *
 * Sixteen output rows form a group; a group is one sequential stream of records, one record per 32 values along K:
 *
 *   scales   16 halves (one per row), or 32 (low half of the block, then high half), or 16 exponent bytes
 *   biases   none, or as many halves as scales
 *   planes   code bits, four rows (a quad) to a vector; byte 4·r + t of a vector belongs to row r of the quad
 *
 * With k the place in the block: in plane `nibble` vector j (0…3) of a quad holds k = 4j + t in the low nibbles and
 * k = 16 + 4j + t in the high ones. In plane `byte` vector j (0…7) holds k = 4j + t. Plane `bit` is one vector per quad:
 * bit j is k = 4j + t, bit 4 + j is k = 16 + 4j + t. Plane `pair` is two vectors per quad: bits 2j, 2j+1 of the first are
 * k = 4j + t, of the second k = 16 + 4j + t. A code is assembled from its planes, lowest bits first as listed.
 * A value is scale · (code − zero) + bias, or scale · (table[code] − zero). A layout with `blocks: 2` has a record per 64 values:
 * after scales and biases, which both blocks share, all planes of the first block, then all planes of the second.
 */
export type Plane = 'nibble' | 'pair' | 'bit' | 'byte';

export interface PackedLayout {
  readonly name: string;
  readonly scale: 'half' | 'half-pair' | 'exponent';
  readonly bias: boolean;
  readonly zero: number;
  readonly planes: readonly Plane[];
  /** Up to sixteen values from 0 to 255 that codes stand for. */
  readonly table?: readonly number[];
  /** Blocks of 32 values to a record; one where it is not said. */
  readonly blocks?: 2;
}

export const groupRows = 16;
export const blockValues = 32;

const planeBytes: Record<Plane, number> = { nibble: 256, pair: 128, bit: 64, byte: 512 };
const scaleBytes: Record<PackedLayout['scale'], number> = { half: 32, 'half-pair': 64, exponent: 16 };

/** IQ4_NL's levels plus 127, MXFP4's doubled levels plus 12. */
const nonLinear = [0, 23, 44, 62, 78, 92, 105, 117, 128, 140, 152, 165, 180, 196, 216, 240];
const microscaling = [12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0];
/** Levels of grids with both signs, plus the largest: IQ3_XXS, IQ3_S, the IQ2 formats. */
const threeBitGrid = [0, 10, 18, 26, 34, 42, 50, 58, 66, 74, 82, 90, 98, 106, 114, 124];
const threeBitOdd = [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30];
const twoBitGrid = [0, 18, 35, 51, 68, 86];
/** Eight times −1, 0 and 1, all moved up by 1 (IQ1_S, where moving down is a negative scale), or each down and up (IQ1_M). */
const shiftedUp = [0, 8, 16];
const shiftedBoth = [0, 2, 8, 10, 16, 18];

/** Order is the layout's number on the tape. */
export const packedLayouts = [
  { name: 'nibble', scale: 'half', bias: false, zero: 8, planes: ['nibble'] },
  { name: 'nibble-affine', scale: 'half', bias: true, zero: 0, planes: ['nibble'] },
  { name: 'nibble-nonlinear', scale: 'half', bias: false, zero: 127, planes: ['nibble'], table: nonLinear },
  {
    name: 'nibble-microscaling',
    scale: 'exponent',
    bias: false,
    zero: 12,
    planes: ['nibble'],
    table: microscaling,
  },
  { name: 'byte', scale: 'half', bias: false, zero: 128, planes: ['byte'] },
  { name: 'five', scale: 'half', bias: false, zero: 16, planes: ['nibble', 'bit'] },
  { name: 'five-affine', scale: 'half', bias: true, zero: 0, planes: ['nibble', 'bit'] },
  { name: 'six', scale: 'half-pair', bias: false, zero: 32, planes: ['nibble', 'pair'] },
  { name: 'three', scale: 'half-pair', bias: false, zero: 4, planes: ['pair', 'bit'] },
  { name: 'two-affine', scale: 'half-pair', bias: true, zero: 0, planes: ['pair'] },
  { name: 'nibble-grid', scale: 'half', bias: false, zero: 62, planes: ['nibble'], table: threeBitGrid },
  { name: 'nibble-odd', scale: 'half', bias: false, zero: 15, planes: ['nibble'], table: threeBitOdd },
  {
    name: 'nibble-microscaling-pair',
    scale: 'half-pair',
    bias: false,
    zero: 12,
    planes: ['nibble'],
    table: microscaling,
  },
  { name: 'three-grid', scale: 'half', bias: false, zero: 43, planes: ['pair', 'bit'], table: twoBitGrid },
  {
    name: 'three-grid-pair',
    scale: 'half-pair',
    bias: false,
    zero: 43,
    planes: ['pair', 'bit'],
    table: twoBitGrid,
  },
  {
    name: 'three-shifted',
    scale: 'half-pair',
    bias: false,
    zero: 9,
    planes: ['pair', 'bit'],
    table: shiftedBoth,
  },
  { name: 'two', scale: 'half', bias: false, zero: 1, planes: ['pair'], table: [0, 1, 2, 3] },
  { name: 'two-shifted', scale: 'half', bias: false, zero: 7, planes: ['pair'], table: shiftedUp },
  { name: 'nibble-affine-wide', scale: 'half', bias: true, zero: 0, planes: ['nibble'], blocks: 2 },
  { name: 'one', scale: 'half', bias: false, zero: 1, planes: ['bit'], table: [0, 2] },
] as const satisfies readonly PackedLayout[];

/** For packed weights that are kept: counts up when the same table leads to other bytes. */
export const packedLayout = `wasm 1 ${JSON.stringify(packedLayouts)}`;

export type LayoutName = (typeof packedLayouts)[number]['name'];

/** Byte offsets within a record; of its first block, where it has two, and how far the second is behind that. */
export function recordOffsets(layout: PackedLayout): {
  readonly bias: number;
  readonly planes: readonly number[];
  readonly block: number;
  readonly bytes: number;
} {
  let end = scaleBytes[layout.scale];
  const bias = end;
  if (layout.bias) end += scaleBytes[layout.scale];
  const planes = layout.planes.map((plane) => {
    const start = end;
    end += planeBytes[plane];
    return start;
  });
  const block = end - (planes[0] ?? end);
  return { bias, planes, block, bytes: end + ((layout.blocks ?? 1) - 1) * block };
}

export function layoutNumber(name: LayoutName): number {
  return packedLayouts.findIndex((layout) => layout.name === name);
}

export function layoutByName(name: LayoutName): PackedLayout {
  const layout = packedLayouts.find((candidate) => candidate.name === name);
  if (!layout) throw new Error(`No packed layout ${name}`);
  return layout;
}
