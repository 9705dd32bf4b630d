/**
 * Matrix products for few rows: y = x Wᵀ for one or several weights of one input, with what the plan fuses to them.
 *
 * A workgroup of 64 threads is cut in groups of `lanes`; a group computes `columns` columns of `rows` rows, each lane every
 * `lanes`-th block along K, and one barrier brings the sums together. With one lane there is no barrier: a thread computes
 * its columns alone, which is what adapters that are programs are quick at.
 */

import { known } from '../../../base/error.ts';
import type { Gating } from '../../../graph.ts';
import { type BlockLayout, blockValuesOf, codeBits, type WeightLayout } from '../weight-layout.ts';
import { gatingKey, gatingText } from './activation.ts';
import {
  acrossSubgroup,
  arena,
  arenaValue,
  type Binding,
  entry,
  type KernelText,
  reads,
  times,
} from './kernel.ts';
import {
  affine,
  blockFunctions,
  e0m4Halves,
  exactHalves,
  floatQuad,
  levelReader,
  loadBlock,
  quadOf,
  wordReader,
} from './weights.ts';

/** Weights of one launch: side by side, or gate and up of which one result is made. */
export interface ProductShape {
  readonly layouts: readonly WeightLayout[];
  /** How gate and up are put together. */
  readonly gating: Gating | undefined;
  /** The input is normed by its root mean square first, times a weight. */
  readonly norm: boolean;
  readonly residual: boolean;
}

export interface ProductTile {
  readonly rows: number;
  readonly columns: number;
  readonly lanes: number;
  /** Blocks are loaded as vectors and taken apart in line; else by a loop, which is quicker to compile. */
  readonly unrolled: boolean;
  /** Lanes whose sums are brought together without workgroup memory: a power of two, 1 without subgroups. */
  readonly joined: number;
  /** Codes of E0M4 become halves first. */
  readonly halves: boolean;
}

const keyOf = (shape: ProductShape, tile: ProductTile): string =>
  `${shapeKey(shape)} ${Object.values(tile).join()}`;

/** Columns that a workgroup makes of each part. */
export const columnsPerGroup = ({ columns, lanes }: ProductTile): number => (64 / lanes) * columns;

/** Names of the parameters of part `index`, all in words or elements. */
const partParams = (index: number): string[] =>
  ['n', 'first', 'end', 'plane0', 'plane1', 'scales', 'factors', 'biased', 'out', 'width'].map(
    (name) => `w${index}${name}`,
  );

export function productKernel(shape: ProductShape, tile: ProductTile): KernelText {
  const shares = (64 / tile.joined) * sumsPerThread(shape, tile);
  const sums = tile.lanes > 1 ? `var<workgroup> sums: array<f32, ${shares}>;` : '';
  return productText(shape, {
    key: keyOf(shape, tile),
    needs: [...(tile.halves ? (['f16'] as const) : []), ...(tile.joined > 1 ? (['subgroups'] as const) : [])],
    declarations: tile.halves ? `${sums}\n${e0m4Halves}` : sums,
    takesBlocksApart: !tile.unrolled,
    workgroup: 64,
    tileFunction: (index) => productFunction(shape, tile, index),
  });
}

export interface ProductText extends Pick<KernelText, 'needs'> {
  readonly key: string;
  /** Workgroup memory. */
  readonly declarations: string;
  /** Reads weights by the functions `quad_w…` and `scales_w…`. */
  readonly takesBlocksApart: boolean;
  readonly workgroup: number;
  /** `fn product0(group, tile, lid)`, or that of another part: a tile of its columns and rows. */
  tileFunction(part: number): string;
}

/** Parameters that say which tile of rows a workgroup has, and which group of columns. */
const productOrder = ['tiles', 'tileStride', 'groupStride'] as const;

/**
 * Columns after columns where rows are many: what they share is the input. Where they are few, tiles of rows side by side,
 * so that a weight is read from memory once.
 */
export function orderOf(
  tiles: number,
  groups: number,
  areFew: boolean,
): Readonly<Record<(typeof productOrder)[number], number>> {
  return areFew
    ? { tiles, tileStride: 1, groupStride: tiles }
    : { tiles, tileStride: groups, groupStride: 1 };
}

/** What all kernels of products have in common: what they bind, and which part of the weights a workgroup has. */
export function productText(shape: ProductShape, text: ProductText): KernelText {
  const { layouts, gating } = shape;
  const weights = layouts.map((_, index) => reads(`w${index}`, 'vec4<u32>'));
  const biases = layouts.map((_, index) => reads(`bias${index}`, 'f32'));
  const norm: Binding[] = shape.norm ? [reads('gain', 'vec4<f32>')] : [];
  const parts = gating ? [0] : layouts.map((_, index) => index);
  const calls = parts.map((index) => {
    const first = index === 0 ? 'group' : `group - p.w${index - 1}end`;
    return `if (group < p.w${index}end) { product${index}(${first}, tile, lid); return; }`;
  });
  return {
    key: text.key,
    ...(text.needs ? { needs: text.needs } : {}),
    bindings: [arena, ...weights, ...biases, ...norm],
    params: [
      ...['rows', 'k4', 'x', 'epsilon', 'residual', ...productOrder],
      ...layouts.flatMap((_, index) => partParams(index)),
    ],
    body: [
      ...weights.map(({ name }) => wordReader(name)),
      layouts.some(({ name }) => name === 'f16') ? exactHalves : '',
      levelReader(layouts),
      ...layouts.map((layout, index) =>
        layout.kind === 'block' && text.takesBlocksApart ? blockFunctions(layout, `w${index}`) : '',
      ),
      text.declarations,
      gating ? gatingText(gating) : '',
      ...parts.map((index) => text.tileFunction(index)),
      entry(
        `let number = wid.y * groups.x + wid.x;
  let groupCount = p.w${known(parts.at(-1), 'part')}end;
  if (number >= groupCount * p.tiles) { return; }
  let tile = number / p.tileStride % p.tiles;
  let group = number / p.groupStride % groupCount;
${calls.join('\n')}`,
        text.workgroup,
      ),
    ].join('\n'),
  };
}

/** What a launch is called by: its weights' layouts and what is fused. */
export function shapeKey({ layouts, gating, norm, residual }: ProductShape): string {
  const extras = [gating && gatingKey(gating), norm && 'norm', residual && 'residual'].filter(Boolean);
  return `product ${layouts.map(({ name }) => name).join()} ${extras.join()}`;
}

/** Sums that a thread hands over: of its columns and rows, gate and up apart, and squares of the input's rows. */
function sumsPerThread(shape: ProductShape, { rows, columns }: ProductTile): number {
  return columns * rows * (shape.gating ? 2 : 1) + (shape.norm ? rows : 0);
}

interface Stream {
  readonly part: number;
  /** Column within the tile. */
  readonly column: number;
  readonly name: string;
}

function productFunction(shape: ProductShape, tile: ProductTile, index: number): string {
  const { rows, columns, lanes } = tile;
  const sources = shape.gating ? [0, 1] : [index];
  const streams: Stream[] = sources.flatMap((part) =>
    Array.from({ length: columns }, (_, column) => ({ part, column, name: `v${part}c${column}` })),
  );
  const layout = shape.layouts[index];
  const blockValues = layout ? blockValuesOf(layout) : 4;
  const names = streams.flatMap(({ name }) => Array.from({ length: rows }, (_, row) => `${name}r${row}`));
  return `
fn product${index}(group: u32, tile: u32, lid: u32) {
  let lane = lid % ${lanes}u;
  let slot = lid / ${lanes}u;
  let column = (group * ${64 / lanes}u + slot) * ${columns}u;
  let blocks = p.k4 / ${blockValues / 4}u;
${times(columns, (column) => `let n${column} = min(column + ${column}u, p.w${index}n - 1u) * blocks;`)}
${times(rows, (row) => `let x${row} = p.x + min(tile * ${rows}u + ${row}u, p.rows - 1u) * p.k4;`)}
${names.map((name) => `var ${name} = 0.0;`).join('\n')}
${shape.norm ? times(rows, (row) => `var squares${row} = 0.0;`) : ''}
for (var block = lane; block < blocks; block += ${lanes}u) {
${layout?.kind === 'block' ? (tile.unrolled ? blockSums : blockSumsByLoop)(shape, layout, streams, tile) : floatSums(shape, streams, rows)}
}
${lanes > 1 ? reduceLanes(shape, tile, index, names) : storeAlone(shape, tile, index)}
}`;
}

/** Four inputs of each row, normed (but for the root) where the norm is fused. */
function inputs(shape: ProductShape, rows: number, quad: number, place: string): string {
  const gain = shape.norm ? `let g${quad} = gain[${place}];\n` : '';
  return (
    gain +
    times(rows, (row) => {
      const name = `x${row}q${quad}`;
      if (!shape.norm) return `let ${name} = arena[x${row} + ${place}];`;
      return `let raw${row}q${quad} = arena[x${row} + ${place}];
squares${row} += dot(raw${row}q${quad}, raw${row}q${quad});
  let ${name} = raw${row}q${quad} * g${quad};`;
    })
  );
}

function blockSums(
  shape: ProductShape,
  layout: BlockLayout,
  streams: readonly Stream[],
  { rows, halves }: ProductTile,
): string {
  const loads = streams.map(({ part, column, name }) =>
    loadBlock(layout, `w${part}`, `w${part}`, `(n${column} + block)`, name),
  );
  const parts = Array.from({ length: layout.scales }, (_, half) => {
    const quads =
      layout.scales === 2 ? [0, 1, 2, 3].map((quad) => half * 4 + quad) : [0, 1, 2, 3, 4, 5, 6, 7];
    const perRow = (text: (row: number) => string) => times(rows, text);
    const needsSum = !layout.levels;
    const lines = [
      ...streams.map(({ name }) => perRow((row) => `var ${name}d${row}h${half} = 0.0;`)),
      needsSum ? perRow((row) => `var sum${row}h${half} = 0.0;`) : '',
      ...quads.map((quad) =>
        [
          inputs(shape, rows, quad, `block * 8u + ${quad}u`),
          needsSum ? perRow((row) => `sum${row}h${half} += dot(x${row}q${quad}, vec4<f32>(1.0));`) : '',
          ...streams.map(
            ({ name }) =>
              `let ${name}q${quad} = ${quadOf(layout, name, quad, halves)};\n${perRow(
                (row) => `${name}d${row}h${half} += dot(${name}q${quad}, x${row}q${quad});`,
              )}`,
          ),
        ].join('\n'),
      ),
      ...streams.map(({ name }) => {
        const { scale, offset } = affine(layout, name, half);
        return perRow((row) => {
          const offsetTerm = offset ? ` + ${offset} * sum${row}h${half}` : '';
          return `${name}r${row} += ${scale} * ${name}d${row}h${half}${offsetTerm};`;
        });
      }),
    ];
    return lines.join('\n');
  });
  return [...loads, ...parts].join('\n');
}

function blockSumsByLoop(
  shape: ProductShape,
  layout: BlockLayout,
  streams: readonly Stream[],
  { rows }: ProductTile,
): string {
  const quads = 8 / layout.scales;
  const perRow = (text: (row: number) => string) => times(rows, text);
  const halves = Array.from({ length: layout.scales }, (_, half) => {
    const ends = streams.map(({ name }) => {
      const scale = `${name}scales.${half === 0 ? 'x' : 'y'}`;
      const bias = `${name}scales.${half === 0 ? 'z' : 'w'} - `;
      const steps = 2 ** codeBits(layout);
      const offset = `(${layout.bias ? bias : '-'}${scale} * ${steps + layout.zero}.0)`;
      return perRow((row) =>
        layout.levels
          ? `${name}r${row} += ${scale} * ${name}d${row};`
          : `${name}r${row} += ${scale} * ${steps}.0 * ${name}d${row} + ${offset} * sum${row};`,
      );
    });
    return `{
${streams.map(({ name }) => perRow((row) => `var ${name}d${row} = 0.0;`)).join('\n')}
${perRow((row) => `var sum${row} = 0.0;`)}
for (var quad = ${half * quads}u; quad < ${(half + 1) * quads}u; quad++) {
${inputs(shape, rows, 0, 'block * 8u + quad')}
${perRow((row) => `sum${row} += dot(x${row}q0, vec4<f32>(1.0));`)}
${streams
  .map(
    ({ part, column, name }) => `let ${name}q = quad_w${part}(n${column} + block, quad);
${perRow((row) => `${name}d${row} += dot(${name}q, x${row}q0);`)}`,
  )
  .join('\n')}
}
${ends.join('\n')}
}`;
  });
  const scales = streams.map(
    ({ part, column, name }) => `let ${name}scales = scales_w${part}(n${column} + block);`,
  );
  return [...scales, ...halves].join('\n');
}

function floatSums(shape: ProductShape, streams: readonly Stream[], rows: number): string {
  return [
    inputs(shape, rows, 0, 'block'),
    ...streams.map(({ part, column, name }) => {
      const layout = shape.layouts[part];
      if (layout?.kind !== 'float') return '';
      return `let ${name}q = ${floatQuad(layout, `w${part}`, `(n${column} + block)`)};\n${times(
        rows,
        (row) => `${name}r${row} += dot(${name}q, x${row}q0);`,
      )}`;
    }),
  ].join('\n');
}

/** Every lane, or one of each that are joined, puts its sums down; then each takes some of the results, adds them up and stores them. */
function reduceLanes(
  shape: ProductShape,
  tile: ProductTile,
  index: number,
  names: readonly string[],
): string {
  const { rows, columns, lanes, joined } = tile;
  const per = sumsPerThread(shape, tile);
  const shares = lanes / joined;
  const squares = shape.norm ? Array.from({ length: rows }, (_, row) => `squares${row}`) : [];
  const sums = [...names, ...squares];
  const add = (name: string, sum: string) => `
  var ${name} = 0.0;
for (var other = 0u; other < ${shares}u; other++) { ${name} += sums[(slot * ${shares}u + other) * ${per}u + ${sum}]; }`;
  const place = joined > 1 ? `(lid / ${joined}u)` : 'lid';
  const put = sums.map((name, at) => `sums[${place} * ${per}u + ${at}u] = ${name};`).join('\n');
  return `
${joined > 1 ? sums.map((name) => acrossSubgroup(name, joined)).join('\n') : ''}
${joined > 1 ? `if (lid % ${joined}u == 0u) {\n${put}\n}` : put}
workgroupBarrier();
for (var result = lane; result < ${columns * rows}u; result += ${lanes}u) {
  let row = result % ${rows}u;
${add('first', 'result')}
${shape.gating ? add('second', `${columns * rows}u + result`) : ''}
${shape.norm ? add('squares', `${names.length}u + row`) : ''}
${store(shape, index, `column + result / ${rows}u`, `tile * ${rows}u + row`)}
}`;
}

function storeAlone(shape: ProductShape, { rows, columns }: ProductTile, index: number): string {
  const blocks: string[] = [];
  for (let column = 0; column < columns; column++) {
    for (let row = 0; row < rows; row++) {
      blocks.push(`{
  let first = v${index}c${column}r${row};
${shape.gating ? `let second = v1c${column}r${row};` : ''}
${shape.norm ? `let squares = squares${row};` : ''}
${store(shape, index, `column + ${column}u`, `tile * ${rows} + ${row}u`)}
}`);
    }
  }
  return blocks.join('\n');
}

/** Stores one result made from `first` (and `second`, `squares`), where it is inside the matrix. */
export function store(shape: ProductShape, index: number, column: string, row: string): string {
  const value = (sum: string, part: number): string => {
    const layout = shape.layouts[part];
    const factor = layout?.kind === 'block' ? ` * bitcast<f32>(word_w${part}(p.w${part}factors + n))` : '';
    const root = shape.norm ? ' * root' : '';
    const bias = `select(0.0, bias${part}[p.w${part}first + n], p.w${part}biased != 0u)`;
    return `${sum}${factor}${root} + ${bias}`;
  };
  const result = shape.gating
    ? `let gate = ${value('first', 0)};
  let y = gateOf(gate, ${value('second', 1)});`
    : `let y = ${value('first', index)};`;
  const residual = shape.residual ? ` + ${arenaValue('p.residual + place')}` : '';
  return `
  let n = ${column};
  let t = ${row};
if (n < p.w${index}n && t < p.rows) {
${shape.norm ? 'let root = inverseSqrt(squares / f32(p.k4 * 4u) + bitcast<f32>(p.epsilon));' : ''}
${result}
  let place = t * p.w${index}width + n;
${arenaValue(`p.w${index}out + place`)} = y${residual};
}`;
}
