/** Which kernels multiply by a weight on a device, the best first. */
import { type ProductCase, productCheck } from './check/product-check.ts';
import { fewRows } from './launch-list.ts';
import { plainRow, type RowWay, type TileWay, tileWays } from './product-ways.ts';
import type { DeviceProfile } from './profile.ts';
import { tileSize } from './shader/block-tile.ts';
import { type KernelText, withCheck } from './shader/kernel.ts';
import { columnsPerGroup, type ProductShape, type ProductTile, productKernel } from './shader/product.ts';
import { isE0m4 } from './shader/weights.ts';

export interface ChosenProduct {
  readonly kernel: KernelText;
  /** Of a workgroup. */
  readonly rows: number;
  readonly columns: number;
}

/** For so many rows and blocks along K. The last are those that any device computes. */
export function productsFor(
  shape: ProductShape,
  rows: number,
  blocks: number,
  profile: DeviceProfile,
): readonly ChosenProduct[] {
  const plain = [inLanes(shape, rows, blocks), alone(shape, rows)];
  if (!profile.parallel) return plain.reverse();
  return [...(rows > fewRows ? tiles(shape, profile) : rowTiles(shape, rows, blocks, profile)), ...plain];
}

const checked = (
  shape: ProductShape,
  kernel: KernelText,
  rows: number,
  columns: number,
  precision: Pick<ProductCase, 'inBytes' | 'rounding'> = {},
): ChosenProduct => ({
  kernel: withCheck(kernel, () => productCheck(shape, { rows, columns, ...precision })),
  rows,
  columns,
});

/** Enough for reads of whole cache lines; what more lanes make is more sums to bring together. */
const mostLanes = 32;

export const lanesFor = (blocks: number): number =>
  Math.min(mostLanes, 2 ** Math.floor(Math.log2(Math.max(1, blocks))));

/** Of many rows, in the ways of the device that can multiply these weights. */
const tiles = (shape: ProductShape, profile: DeviceProfile): ChosenProduct[] =>
  profile.tileWays
    .filter((way) => tileWays[way].takes(shape, profile))
    .map((way) => checkedTile(shape, way, profile));

export const checkedTile = (shape: ProductShape, way: TileWay, profile: DeviceProfile): ChosenProduct =>
  checked(shape, tileWays[way].kernel(shape, profile), tileSize, tileSize, tileWays[way].precision);

/** Of one row, in the device's ways; subgroups bring its sums together where there are some. */
function rowTiles(
  shape: ProductShape,
  rows: number,
  blocks: number,
  profile: DeviceProfile,
): ChosenProduct[] {
  if (rows > 1) return [];
  const joins = profile.subgroupSize > 1 ? [profile.subgroupSize, 1] : [1];
  return profile.rowWays.flatMap((way) => joins.map((joined) => inLanes(shape, rows, blocks, way, joined)));
}

/** Rows of a tile with so many rows, and columns of a thread beside them: all sums stay in registers. */
const rowTile = (rows: number, columns: number): { readonly rows: number; readonly columns: number } => {
  if (rows === 1) return { rows, columns };
  return rows <= 4 ? { rows: 4, columns: 4 } : { rows: 8, columns: 2 };
};

export function inLanes(
  shape: ProductShape,
  rows: number,
  blocks: number,
  { columns, halves }: RowWay = plainRow,
  subgroupSize = 1,
): ChosenProduct {
  const lanes = lanesFor(blocks);
  const joined = Math.min(lanes, subgroupSize);
  const tile: ProductTile = {
    ...{ ...rowTile(rows, columns), lanes, unrolled: true, joined },
    halves: halves && shape.layouts.some((layout) => layout.kind === 'block' && isE0m4(layout)),
  };
  return checked(shape, productKernel(shape, tile), tile.rows, columnsPerGroup(tile));
}

function alone(shape: ProductShape, rows: number): ChosenProduct {
  const tile = { rows: rows === 1 ? 1 : 4, columns: 1, lanes: 1, unrolled: false, joined: 1, halves: false };
  return checked(shape, productKernel(shape, tile), tile.rows, columnsPerGroup(tile));
}
