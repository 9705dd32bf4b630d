/**
 * What kernels of many rows have in common that bring whole blocks of 32 values along K to workgroup memory: 256 threads make
 * 64 rows by 64 columns, and in each round a thread loads one block of a row of the input or of a column of a weight.
 */
import type { BlockLayout } from '../weight-layout.ts';
import { type KernelText, times } from './kernel.ts';
import { type ProductShape, productText, shapeKey, store } from './product.ts';

/** Rows and columns of a tile. */
export const tileSize = 64;
/** Rows and columns of a thread: every 16th of the tile, so that neighbours read neighbouring vectors. */
const perThread = 4;

/** One weight of the tile. */
export interface TileSource {
  readonly layout: BlockLayout;
  /** Index among the launch's weights. */
  readonly part: number;
  /** Index among those of this tile: gate and up are 0 and 1. */
  readonly number: number;
}

export interface BlockTile {
  readonly name: string;
  readonly needs: NonNullable<KernelText['needs']>;
  /** Blocks along K of a round. */
  readonly blocks: number;
  readonly functions: string;
  /** Workgroup memory of the input and of one weight. */
  readonly inputMemory: string;
  weightMemory(source: TileSource): string;
  /** Puts the quads `x0`…`x7` of a block down at `at` = place of the block in the round · 64 + row. */
  readonly putInput: string;
  /** Puts block `index` of the weight down at `at`. */
  putWeight(source: TileSource): string;
  /** Adds a block's products to the sums `v{number}r{row}c{column}`; `at` = place of the block in the round · 64. */
  multiply(source: TileSource): string;
}

export function blockTileKernel(shape: ProductShape, tile: BlockTile): KernelText {
  const sources = (index: number): TileSource[] =>
    (shape.gating ? [0, 1] : [index]).map((part, number) => {
      const layout = shape.layouts[part];
      if (layout?.kind !== 'block') throw new RangeError('A tile of blocks takes no float matrix');
      return { layout, part, number };
    });
  return productText(shape, {
    key: `${tile.name} ${shapeKey(shape)}`,
    needs: tile.needs,
    declarations: [
      tile.functions,
      tile.inputMemory,
      ...sources(0).map((source) => tile.weightMemory(source)),
      shape.norm ? `var<workgroup> squareSums: array<f32, ${tile.blocks * tileSize}>;` : '',
    ].join('\n'),
    takesBlocksApart: true,
    workgroup: 256,
    tileFunction: (index) => tileFunction(shape, tile, index, sources(index)),
  });
}

function tileFunction(
  shape: ProductShape,
  tile: BlockTile,
  index: number,
  sources: readonly TileSource[],
): string {
  const { blocks } = tile;
  const jobs = tileSize * blocks;
  const sums = sources.flatMap(({ number }) => cells((row, column) => `v${number}r${row}c${column}`));
  return `
fn product${index}(group: u32, tile: u32, lid: u32) {
  let across = lid % 16u;
  let down = lid / 16u;
  let job = lid % ${jobs}u;
  let own = job / ${blocks}u;
  let place = job % ${blocks}u;
  let at = place * ${tileSize}u + own;
  let blocks = p.k4 / 8u;
  let column = min(group * ${tileSize}u + own, p.w${index}n - 1u) * blocks;
  let inputRow = p.x + min(tile * ${tileSize}u + own, p.rows - 1u) * p.k4;
${sums.map((sum) => `var ${sum} = 0.0;`).join('\n')}
${shape.norm ? 'var ownSquares = 0.0;' : ''}
for (var base = 0u; base < blocks; base += ${blocks}u) {
  let block = base + place;
  let isInside = block < blocks;
  workgroupBarrier();
  if (lid < ${jobs}u) {
    ${times(8, (quad) => `var x${quad} = vec4<f32>(0.0);`)}
    if (isInside) {
      let quad = block * 8u;
      ${times(8, (quad) => inputQuad(shape, quad))}
    }
    ${tile.putInput}
  }
  ${sources
    .map(
      (source) => `if (lid / ${jobs}u == ${source.number + 1}u) {
    let index = column + min(block, blocks - 1u);
    ${tile.putWeight(source)}
  }`,
    )
    .join('\n')}
  workgroupBarrier();
  for (var at = 0u; at < ${jobs}u; at += ${tileSize}u) {
    ${sources.map((source) => tile.multiply(source)).join('\n')}
  }
}
${shape.norm ? `if (lid < ${jobs}u) { squareSums[at] = ownSquares; }\nworkgroupBarrier();` : ''}
${cells(
  (row, cell) => `{
  let first = v0r${row}c${cell};
${shape.gating ? `let second = v1r${row}c${cell};` : ''}
${shape.norm ? squaresOf(blocks, `down + ${16 * row}u`) : ''}
${store(shape, index, `group * ${tileSize}u + across + ${16 * cell}u`, `tile * ${tileSize}u + down + ${16 * row}u`)}
}`,
).join('\n')}
}`;
}

const inputQuad = (
  { norm }: ProductShape,
  quad: number,
): string => `x${quad} = arena[inputRow + quad + ${quad}u];
${norm ? `ownSquares += dot(x${quad}, x${quad});\nx${quad} *= gain[quad + ${quad}u];` : ''}`;

const squaresOf = (blocks: number, row: string): string =>
  `let squares = ${Array.from({ length: blocks }, (_, place) => `squareSums[${place * tileSize}u + ${row}]`).join(' + ')};`;

/** Of every row with every column of a thread. */
export const cells = (text: (row: number, column: number) => string): string[] =>
  Array.from({ length: perThread ** 2 }, (_, cell) => text(cell % perThread, Math.floor(cell / perThread)));

/** Rows and columns of a thread. */
export const each = (text: (index: number) => string): string => times(perThread, text);
