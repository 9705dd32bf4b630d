/**
 * Matrix products for many rows: 256 threads make 64 rows by 64 columns, 16 values along K at a time, which they first
 * bring to workgroup memory: inputs as they are (times the norm's weight), weights decoded. A thread has every 16th row
 * and column of the tile, so that neighbours read neighbouring vectors.
 */
import { cells, tileSize } from './block-tile.ts';
import { type KernelText, times } from './kernel.ts';
import { type ProductShape, productText, shapeKey, store } from './product.ts';
import { exactQuad, floatQuad } from './weights.ts';

const perThread = 4;
/** Vectors of four values along K per round. */
const quads = 4;

export function tiledProductKernel(shape: ProductShape): KernelText {
  const tile = `array<vec4<f32>, ${quads * tileSize}>`;
  return productText(shape, {
    key: `tiled ${shapeKey(shape)}`,
    declarations: [
      `var<workgroup> inputTile: ${tile};`,
      `var<workgroup> weightTile: ${tile};`,
      shape.gating ? `var<workgroup> secondTile: ${tile};` : '',
      shape.norm ? 'var<workgroup> squareSums: array<f32, 256>;' : '',
    ].join('\n'),
    takesBlocksApart: true,
    workgroup: 256,
    tileFunction: (index) => tileFunction(shape, index),
  });
}

function tileFunction(shape: ProductShape, index: number): string {
  const sources = shape.gating ? [0, 1] : [index];
  const tiles = ['weightTile', 'secondTile'];
  const sums = sources.flatMap((source) => cells((row, column) => `v${source}r${row}c${column}`));
  return `
fn product${index}(group: u32, tile: u32, lid: u32) {
  let across = lid % 16u;
  let down = lid / 16u;
  let loaded = lid / ${quads}u;
  let share = lid % ${quads}u;
  let column = min(group * ${tileSize}u + loaded, p.w${index}n - 1u);
  let inputRow = p.x + min(tile * ${tileSize}u + loaded, p.rows - 1u) * p.k4;
${sums.map((sum) => `var ${sum} = 0.0;`).join('\n')}
${shape.norm ? 'var ownSquares = 0.0;' : ''}
for (var base = 0u; base < p.k4; base += ${quads}u) {
  let quad = base + share;
  var x = vec4<f32>(0.0);
  ${sources.map((_, place) => `var weight${place} = vec4<f32>(0.0);`).join('\n')}
  if (quad < p.k4) {
    x = arena[inputRow + quad];
    ${shape.norm ? 'ownSquares += dot(x, x);\nx *= gain[quad];' : ''}
    ${sources.map((source, place) => loadWeight(shape, source, `weight${place}`)).join('\n')}
  }
  workgroupBarrier();
  inputTile[share * ${tileSize}u + loaded] = x;
  ${sources.map((_, place) => `${tiles[place]}[share * ${tileSize}u + loaded] = weight${place};`).join('\n')}
  workgroupBarrier();
  for (var k = 0u; k < ${quads}u; k++) {
    ${times(perThread, (row) => `let x${row} = inputTile[k * ${tileSize}u + down + ${16 * row}u];`)}
    ${sources
      .map((source, place) =>
        times(
          perThread,
          (column) => `{
  let w = ${tiles[place]}[k * ${tileSize}u + across + ${16 * column}u];
${times(perThread, (row) => `v${source}r${row}c${column} += dot(x${row}, w);`)}
}`,
        ),
      )
      .join('\n')}
  }
}
${shape.norm ? `squareSums[lid] = ownSquares;\nworkgroupBarrier();` : ''}
${cells(
  (row, cell) => `{
  let first = v${index}r${row}c${cell};
${shape.gating ? `let second = v1r${row}c${cell};` : ''}
${shape.norm ? squaresOf(`down + ${16 * row}u`) : ''}
${store(shape, index, `group * ${tileSize}u + across + ${16 * cell}u`, `tile * ${tileSize}u + down + ${16 * row}u`)}
}`,
).join('\n')}
}`;
}

const squaresOf = (row: string): string =>
  `let squares = ${Array.from({ length: quads }, (_, share) => `squareSums[(${row}) * ${quads}u + ${share}u]`).join(' + ')};`;

/** Four values of a column, without the row's factor. */
function loadWeight({ layouts }: ProductShape, source: number, target: string): string {
  const layout = layouts[source];
  if (layout?.kind !== 'block') {
    return layout ? `${target} = ${floatQuad(layout, `w${source}`, '(column * p.k4 + quad)')};` : '';
  }
  const block = 'column * (p.k4 / 8u) + quad / 8u';
  return `{
  let scales = scales_w${source}(${block});
${target} = ${exactQuad(layout, `w${source}`, block, '(quad % 8u)', 'scales')};
}`;
}
