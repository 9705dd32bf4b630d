/**
 * Ways to multiply by a weight that devices differ in. Which is the quickest is not guessed: `measure-ways.ts` times them on
 * the device, and what it finds stands first in the profile's lists.
 */
import type { ProductCase } from './check/product-check.ts';
import type { DeviceProfile } from './profile.ts';
import { halvesProductKernel } from './shader/halves-product.ts';
import type { KernelText } from './shader/kernel.ts';
import { holdsValues, matrixMemoryBytes, matrixProductKernel } from './shader/matrix-product.ts';
import { packedProductKernel } from './shader/packed-product.ts';
import type { ProductShape } from './shader/product.ts';
import { tiledProductKernel } from './shader/tiled-product.ts';

/** Products of many rows: tiles of 64 by 64, whatever the way. */
export type TileWay = 'floats' | 'halves' | 'packed' | 'matrices';

/** Products of one row: columns that a group of lanes makes, and whether codes of 4 bits become halves first. */
export interface RowWay {
  readonly columns: number;
  readonly halves: boolean;
}

interface Tiles {
  /** What is multiplied, for a report. */
  readonly unit: string;
  /** What the device must have. */
  isOffered(profile: DeviceProfile): boolean;
  /** What the kernel can multiply. */
  takes(shape: ProductShape, profile: DeviceProfile): boolean;
  kernel(shape: ProductShape, profile: DeviceProfile): KernelText;
  /** How far inputs and weights are rounded, as `Roundoff` has it. */
  readonly operand: number;
  readonly weight: number;
  /** Of the case in `product-check.ts`. */
  readonly precision: Pick<ProductCase, 'inBytes' | 'rounding'>;
}

const ofBlocks = ({ layouts }: ProductShape): boolean => layouts.every(({ kind }) => kind === 'block');

export const tileWays: Readonly<Record<TileWay, Tiles>> = {
  /** Everywhere, everything. */
  floats: {
    unit: 'floats',
    isOffered: () => true,
    takes: () => true,
    kernel: tiledProductKernel,
    ...{ operand: 0, weight: 0, precision: {} },
  },
  /** Inputs are rounded to 2^-12, and so are sums of eight products of up to eight times one: 8 · 8 · 2^-12 for 32 terms. */
  halves: {
    unit: 'halves',
    isOffered: ({ halves }) => halves,
    takes: ofBlocks,
    kernel: halvesProductKernel,
    ...{ operand: 2 ** -9, weight: 0, precision: { rounding: 2 ** -11 } },
  },
  /** Inputs become bytes, as those of the CPU do. */
  packed: {
    unit: 'bytes',
    isOffered: ({ packedDots }) => packedDots,
    takes: ofBlocks,
    kernel: packedProductKernel,
    ...{ operand: 1.01 / 254, weight: 0, precision: { inBytes: true } },
  },
  matrices: {
    unit: 'units for matrices',
    isOffered: ({ matrixUnit }) => matrixUnit !== undefined,
    takes: (shape, { matrixUnit: unit, workgroupBytes }) =>
      unit !== undefined &&
      holdsValues(unit, shape.layouts) &&
      matrixMemoryBytes(unit, shape) <= workgroupBytes,
    kernel(shape, { matrixUnit: unit }) {
      if (!unit) throw new RangeError('This device has no units for matrices');
      return matrixProductKernel(shape, unit);
    },
    ...{ operand: 2 ** -11, weight: 2 ** -11, precision: { rounding: 2 ** -9 } },
  },
};

export const tileWayNames = Object.keys(tileWays) as readonly TileWay[];

/** Quickest first; the last are those that every device has. */
export interface ProductWays {
  readonly tiles: readonly TileWay[];
  readonly rows: readonly RowWay[];
}

/** What is used until something is measured. */
export const plainTiles: readonly TileWay[] = ['floats'];
export const plainRow: RowWay = { columns: 4, halves: false };
export const plainRows: readonly RowWay[] = [plainRow];

/** How far a device that multiplies in any of these ways rounds. */
export function roundingOf(ways: readonly TileWay[]): { readonly operand: number; readonly weight: number } {
  return {
    operand: Math.max(...ways.map((way) => tileWays[way].operand)),
    weight: Math.max(...ways.map((way) => tileWays[way].weight)),
  };
}

/** What was found to be quicker than the plain ways. */
export function remarksOn({
  tileWays: [tiles],
  rowWays: [row],
}: Pick<DeviceProfile, 'tileWays' | 'rowWays'>): string[] {
  const remarks: string[] = [];
  if (tiles && tiles !== 'floats')
    remarks.push(`many rows are multiplied in ${tileWays[tiles].unit}, the quickest here`);
  if (row && (row.columns !== plainRow.columns || row.halves)) {
    const unit = row.halves ? ', codes as halves' : '';
    remarks.push(`one row is multiplied by ${row.columns} columns a thread${unit}, the quickest here`);
  }
  return remarks;
}

/** Whether these are ways that were once measured, and not what an older or a damaged file has. */
export function areProductWays(value: unknown): value is ProductWays {
  if (typeof value !== 'object' || value === null) return false;
  const { tiles, rows } = value as Record<string, unknown>;
  const isRow = (row: unknown): boolean =>
    typeof row === 'object' && row !== null && 'halves' in row && 'columns' in row && Number(row.columns) > 0;
  return (
    Array.isArray(tiles) &&
    tiles.every((way) => tileWayNames.includes(way)) &&
    Array.isArray(rows) &&
    rows.every(isRow)
  );
}
