/**
 * Matrix products for many rows by the matrix units of a device (subgroup matrices): a workgroup of four subgroups makes 64
 * rows by 64 columns, each subgroup a quarter. Weights are decoded to workgroup memory; where the units take halves, the
 * inputs of a row are divided by a power of two that leaves none above 1.
 */
import type { WeightLayout } from '../weight-layout.ts';
import { type KernelText, matrices, times } from './kernel.ts';
import { type ProductShape, productText, shapeKey, store } from './product.ts';
import { exactQuad, floatQuad } from './weights.ts';

/** Sizes of the matrices that a device multiplies: `rows` by `inner` and `inner` by `columns`, summed in float32. */
export interface MatrixUnit {
  readonly component: 'f16' | 'f32';
  readonly rows: number;
  readonly columns: number;
  readonly inner: number;
  /** Threads of a subgroup. */
  readonly subgroupSize: number;
}

export const matrixTileSize = 64;
const quarter = matrixTileSize / 2;
/** Scales of a row are below 2^15 (`pack-rows.ts`), so that values of block layouts are halves after this. */
const shrink = 2 ** -15;

/** Values along K of a round, and how far apart rows of a tile are: not a multiple of what banks there are. */
const roundOf = ({ component }: MatrixUnit): { readonly inner: number; readonly stride: number } =>
  component === 'f16' ? { inner: 32, stride: 40 } : { inner: 16, stride: 20 };

/** Bytes of workgroup memory. */
export function matrixMemoryBytes(unit: MatrixUnit, { gating }: Pick<ProductShape, 'gating'>): number {
  const weights = gating ? 2 : 1;
  const tiles = (1 + weights) * matrixTileSize * roundOf(unit).stride * (unit.component === 'f16' ? 2 : 4);
  return tiles + weights * 2 * unit.rows * matrixTileSize * 4 + 2 * 4 * unit.subgroupSize * 4;
}

/** Whether four subgroups with the unit make a whole tile. */
export function dividesTile(unit: MatrixUnit): boolean {
  const { rows, columns, inner, subgroupSize } = unit;
  if (quarter % rows !== 0 || quarter % columns !== 0 || roundOf(unit).inner % inner !== 0) return false;
  return subgroupSize >= 16 && subgroupSize <= 64;
}

/** Whether the unit's numbers hold the values of such weights. */
export const holdsValues = ({ component }: MatrixUnit, layouts: readonly WeightLayout[]): boolean =>
  component === 'f32' ||
  layouts.every((layout) => (layout.kind === 'block' ? layout.scale === 'half' : layout.name === 'f16'));

export function matrixProductKernel(shape: ProductShape, unit: MatrixUnit): KernelText {
  const { component, rows, columns, inner, subgroupSize } = unit;
  const { stride } = roundOf(unit);
  const threads = 4 * subgroupSize;
  const tile = `array<${component}, ${matrixTileSize * stride}>`;
  const strip = `array<f32, ${2 * rows * matrixTileSize}>`;
  return productText(shape, {
    key: `matrices ${component} ${rows},${columns},${inner},${subgroupSize} ${shapeKey(shape)}`,
    needs: [...(component === 'f16' ? (['f16'] as const) : []), matrices],
    declarations: [
      `alias Left = subgroup_matrix_left<${component}, ${inner}, ${rows}>;`,
      `alias Right = subgroup_matrix_right<${component}, ${columns}, ${inner}>;`,
      `alias Sums = subgroup_matrix_result<f32, ${columns}, ${rows}>;`,
      `var<workgroup> inputTile: ${tile};`,
      `var<workgroup> weightTile: ${tile};`,
      `var<workgroup> strip0: ${strip};`,
      shape.gating ? `var<workgroup> secondTile: ${tile};\nvar<workgroup> strip1: ${strip};` : '',
      `var<workgroup> sizes: array<f32, ${threads}>;`,
      `var<workgroup> squareSums: array<f32, ${threads}>;`,
    ].join('\n'),
    takesBlocksApart: true,
    workgroup: threads,
    tileFunction: (index) => tileFunction(shape, unit, index),
  });
}

function tileFunction(shape: ProductShape, unit: MatrixUnit, index: number): string {
  const { component, rows, columns, inner, subgroupSize } = unit;
  const round = roundOf(unit);
  const threads = 4 * subgroupSize;
  const perRow = threads / matrixTileSize;
  const quads = round.inner / 4;
  const tiles = ['weightTile', 'secondTile'];
  const sources = shape.gating ? [0, 1] : [index];
  const [down, across] = [quarter / rows, quarter / columns];
  const eachTile = (text: (row: number, column: number) => string): string =>
    times(down, (row) => times(across, (column) => text(row, column)));
  const isShrunk = component === 'f16' && shape.layouts[index]?.kind === 'block';
  const put = (tile: string, value: string) =>
    times(4, (t) => `${tile}[place + ${t}u] = ${component}(${value}[${t}]);`);
  return `
fn product${index}(group: u32, tile: u32, lid: u32) {
  let subgroup = lid / ${subgroupSize}u;
  let top = subgroup / 2u * ${quarter}u;
  let left = subgroup % 2u * ${quarter}u;
  let firstRow = tile * ${matrixTileSize}u;
  let firstColumn = group * ${matrixTileSize}u;
  // Largest input and sum of squares of each row.
  {
    let row = p.x + min(firstRow + lid / ${perRow}u, p.rows - 1u) * p.k4;
    var size = vec4<f32>(0.0);
    var squares = 0.0;
    for (var quad = lid % ${perRow}u; quad < p.k4; quad += ${perRow}u) {
      let x = arena[row + quad];
      squares += dot(x, x);
      size = max(size, abs(x${shape.norm ? ' * gain[quad]' : ''}));
    }
    sizes[lid] = max(max(size.x, size.y), max(size.z, size.w));
    squareSums[lid] = squares;
  }
  ${times(sources.length, (source) => eachTile((row, column) => `var sums${source}r${row}c${column} = Sums(0.0);`))}
  for (var base = 0u; base < p.k4; base += ${quads}u) {
    workgroupBarrier();
    for (var item = lid; item < ${matrixTileSize * quads}u; item += ${threads}u) {
      let own = item / ${quads}u;
      let quad = base + item % ${quads}u;
      let place = own * ${round.stride}u + item % ${quads}u * 4u;
      let column = min(firstColumn + own, p.w${index}n - 1u);
      var x = vec4<f32>(0.0);
      ${times(sources.length, (source) => `var weight${source} = vec4<f32>(0.0);`)}
      if (quad < p.k4) {
        x = arena[p.x + min(firstRow + own, p.rows - 1u) * p.k4 + quad]${shape.norm ? ' * gain[quad]' : ''};
        ${component === 'f16' ? 'x *= inverseSizeOf(own);' : ''}
        ${sources.map((source, number) => loadWeight(shape, source, `weight${number}`, isShrunk)).join('\n')}
      }
      ${put('inputTile', 'x')}
      ${sources.map((_, number) => put(tiles[number] ?? '', `weight${number}`)).join('\n')}
    }
    workgroupBarrier();
    for (var k = 0u; k < ${round.inner}u; k += ${inner}u) {
      ${times(down, (row) => `let x${row} = subgroupMatrixLoad<Left, row_major>(&inputTile, (top + ${row * rows}u) * ${round.stride}u + k, ${round.stride}u);`)}
      ${sources
        .map((_, number) =>
          times(
            across,
            (column) => `{
        let w = subgroupMatrixLoad<Right, col_major>(&${tiles[number]}, (left + ${column * columns}u) * ${round.stride}u + k, ${round.stride}u);
        ${times(down, (row) => `sums${number}r${row}c${column} = subgroupMatrixMultiplyAccumulate(x${row}, w, sums${number}r${row}c${column});`)}
      }`,
          ),
        )
        .join('\n')}
    }
  }
  ${times(
    down,
    (row) => `
  workgroupBarrier();
  ${sources
    .map((_, number) =>
      times(
        across,
        (column) =>
          `subgroupMatrixStore<row_major>(&strip${number}, subgroup / 2u * ${rows * matrixTileSize}u + left + ${column * columns}u, sums${number}r${row}c${column}, ${matrixTileSize}u);`,
      ),
    )
    .join('\n')}
  workgroupBarrier();
  for (var item = lid; item < ${2 * rows * matrixTileSize}u; item += ${threads}u) {
    let stripRow = item / ${matrixTileSize}u;
    let own = stripRow / ${rows}u * ${quarter}u + ${row * rows}u + stripRow % ${rows}u;
    ${component === 'f16' ? `let size = ${isShrunk ? `${1 / shrink}.0 * ` : ''}sizeOf(own);` : ''}
    let first = strip0[item]${component === 'f16' ? ' * size' : ''};
    ${shape.gating ? `let second = strip1[item]${component === 'f16' ? ' * size' : ''};` : ''}
    ${shape.norm ? `let squares = ${rowTotal('squareSums', perRow, (values) => values.join(' + '))};` : ''}
    ${store(shape, index, `firstColumn + item % ${matrixTileSize}u`, 'firstRow + own')}
  }`,
  )}
}
${index === 0 && component === 'f16' ? sizeFunctions(perRow) : ''}`;
}

const rowTotal = (name: string, perRow: number, combine: (values: string[]) => string): string =>
  combine(Array.from({ length: perRow }, (_, share) => `${name}[own * ${perRow}u + ${share}u]`));

/** The power of two above a row's largest input, from 2^-120 on. */
const sizeFunctions = (perRow: number): string => `
fn sizeOf(own: u32) -> f32 {
  let size = ${rowTotal('sizes', perRow, (values) => values.reduce((a, b) => `max(${a}, ${b})`))};
  return bitcast<f32>(max(bitcast<u32>(size) & 0x7f800000u, 0x03800000u) + 0x00800000u);
}
fn inverseSizeOf(own: u32) -> f32 { return 1.0 / sizeOf(own); }`;

/** Four values of a column, without the row's factor. */
function loadWeight({ layouts }: ProductShape, source: number, target: string, isShrunk: boolean): string {
  const layout = layouts[source];
  if (layout?.kind !== 'block') {
    return layout ? `${target} = ${floatQuad(layout, `w${source}`, '(column * p.k4 + quad)')};` : '';
  }
  const block = 'column * (p.k4 / 8u) + quad / 8u';
  return `{
  let scales = scales_w${source}(${block})${isShrunk ? ` * ${shrink}` : ''};
${target} = ${exactQuad(layout, `w${source}`, block, '(quad % 8u)', 'scales')};
}`;
}
