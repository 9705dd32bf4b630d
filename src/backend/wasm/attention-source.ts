/**
 * Prints the AssemblyScript of attention's inner products, by cache type (layouts in `assembly/cache.ts`); unrolled for the
 * reasons that `matmul-source.ts` gives.
 *
 * Integer kernels: queries and weights come as two parts of seven bits, value = 128 · upper + lower, so that every product
 * is exact on every host and a result does not depend on the order of its sums.
 */
const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

/** A query's parts, per 32 values: eight times four upper and four lower bytes, of what is 2^13 more than the value. */
const queryBlockBytes = 64;
/** Bytes from one query to the next: up to 256 values. */
const queryBytes = 8 * queryBlockBytes;
/** Of a unit of keys. */
const unit = { codes: 96, bytes: 608 };
/** Bytes from one query's weight parts to the next: three pages of 32 groups of eight bytes. */
const weightBytes = 3 * 256;

/** Queries × vectors of four rows, or of four values. */
interface Tile {
  readonly queries: number;
  readonly vectors: number;
}

const integerTiles: readonly Tile[] = [
  { queries: 1, vectors: 4 },
  { queries: 2, vectors: 2 },
];

/** Four products at once, or in pairs: of the first V8's compilers once disagreed on hosts without an instruction for it. */
const dotNames = ['dot', 'dotByPairs'] as const;
type DotName = (typeof dotNames)[number];

/** Of one query enough sums that none waits for the one before it; `4x1` for what is left of a row of values. */
const floatTiles: readonly Tile[] = [
  { queries: 1, vectors: 8 },
  { queries: 1, vectors: 2 },
  { queries: 4, vectors: 2 },
  { queries: 4, vectors: 1 },
];

interface FloatType {
  readonly name: 'f32' | 'f16';
  readonly bytes: number;
}

const floatTypes: readonly FloatType[] = [
  { name: 'f32', bytes: 4 },
  { name: 'f16', bytes: 2 },
];

export function print(): string {
  const floats = floatTypes.flatMap((type) =>
    floatTiles.flatMap((tile) => [floatScores(type, tile), floatWeigh(type, tile)]),
  );
  const integers = dotNames.flatMap((dot) =>
    integerTiles.flatMap((tile) => [integerScores(tile, dot), integerWeigh(tile, dot)]),
  );
  return `// Printed by attention-source.ts.
import { dot, dotByPairs, multiplyAdd, widened } from './simd';

export const QUERY_BYTES: usize = ${queryBytes};
export const UNIT_BYTES: usize = ${unit.bytes};
export const WEIGHT_BYTES: usize = ${weightBytes};

/** Sign and value bits of halves shifted into place; loaded, since V8 rebuilds literals at every use. */
const HALF_BITS: usize = memory.data<u32>([0x8fffe000, 0x8fffe000, 0x8fffe000, 0x8fffe000], 16);

${[...floats, ...integers].join('\n\n')}
`;
}

const pairs = <Item>({ queries, vectors }: Tile, item: (q: number, v: number) => Item): Item[] =>
  range(queries).flatMap((q) => range(vectors).map((v) => item(q, v)));

/** Stores of a tile's sums; those of the last two queries only where there are so many. */
function stores({ queries, vectors }: Tile, bytesPerQuery: number): string[] {
  return range(queries).flatMap((q) => [
    ...(queries > 1 && q > 0 ? [`  if (queries < ${q + 1}) return;`] : []),
    ...range(vectors).map((v) => `  v128.store(out, f${q}_${v}, ${q * bytesPerQuery + v * 16});`),
  ]);
}

function floatVector({ name, bytes }: FloatType, pointer: string, v: number): string {
  const place = v * 4 * bytes;
  return name === 'f16'
    ? `widened(v128.load16x4_s(${pointer}, ${place}), bits)`
    : `v128.load(${pointer}, ${place})`;
}

const bitsOf = ({ name }: FloatType): string[] =>
  name === 'f16' ? ['  const bits = v128.load(HALF_BITS);'] : [];

/** out[query · 384 + row] of up to `queries` queries [256] at x; those beyond `queries` are not stored. */
function floatScores(type: FloatType, tile: Tile): string {
  const { queries, vectors } = tile;
  return [
    `export function scores_${type.name}_${queries}x${vectors}(x: usize, keys: usize, keySize: i32, out: usize, queries: i32): void {`,
    ...bitsOf(type),
    ...pairs(tile, (q, v) => `  let f${q}_${v} = f32x4.splat(0);`),
    '  for (let i: i32 = 0; i < keySize; i++) {',
    ...range(vectors).map((v) => `    const k${v} = ${floatVector(type, 'keys', v)};`),
    ...range(queries).flatMap((q) => [
      `    const s${q} = v128.load32_splat(x, ${q * 1024});`,
      ...range(vectors).map((v) => `    f${q}_${v} = multiplyAdd(k${v}, s${q}, f${q}_${v});`),
    ]),
    '    x += 4;',
    `    keys += ${32 * type.bytes};`,
    '  }',
    ...stores(tile, 1536),
    '}',
  ].join('\n');
}

/** Adds Σ weight · value over `count` rows, in order, to out[query · 256 + value]; weights are [query · 384 + row]. */
function floatWeigh(type: FloatType, tile: Tile): string {
  const { queries, vectors } = tile;
  return [
    `export function weigh_${type.name}_${queries}x${vectors}(w: usize, values: usize, rowBytes: usize, count: i32, out: usize, queries: i32): void {`,
    ...bitsOf(type),
    ...pairs(tile, (q, v) => `  let f${q}_${v} = v128.load(out, ${q * 1024 + v * 16});`),
    '  for (let row: i32 = 0; row < count; row++) {',
    ...range(vectors).map((v) => `    const c${v} = ${floatVector(type, 'values', v)};`),
    ...range(queries).flatMap((q) => [
      `    const s${q} = v128.load32_splat(w, ${q * 1536});`,
      ...range(vectors).map((v) => `    f${q}_${v} = multiplyAdd(c${v}, s${q}, f${q}_${v});`),
    ]),
    '    w += 4;',
    '    values += rowBytes;',
    '  }',
    ...stores(tile, 1024),
    '}',
  ].join('\n');
}

/** Scores of `vectors` × 4 rows: out[query · 384 + row], without the query's scale. */
function integerScores(tile: Tile, dot: DotName): string {
  const { queries, vectors } = tile;
  const [qs, vs] = [range(queries), range(vectors)];
  const step = (g: number): string[] => [
    ...vs.map((v) => `const k${v}_${g} = v128.load(k, ${unit.codes + g * 64 + v * 16});`),
    ...qs.flatMap((q) => [
      `const u${q}_${g} = v128.load32_splat(x, ${q * queryBytes + g * 8});`,
      ...vs.map((v) => `h${q}_${v} = ${dot}(k${v}_${g}, u${q}_${g}, h${q}_${v});`),
      `const w${q}_${g} = v128.load32_splat(x, ${q * queryBytes + g * 8 + 4});`,
      ...vs.map((v) => `l${q}_${v} = ${dot}(k${v}_${g}, w${q}_${g}, l${q}_${v});`),
    ]),
  ];
  const lines = [
    `export function scores_${queries}x${vectors}_${dot}(x: usize, k: usize, sums: usize, blocks: i32, out: usize): void {`,
    ...pairs(tile, (q, v) => `  let f${q}_${v} = f32x4.splat(0);`),
    '  for (let block: i32 = 0; block < blocks; block++) {',
    ...vs.map((v) => `    const z${v} = i32x4.shl(v128.load16x4_s(sums, ${v * 8}), 13);`),
    ...pairs(tile, (q, v) => `    let h${q}_${v} = i32x4.splat(0), l${q}_${v} = z${v};`),
    ...range(8)
      .flatMap(step)
      .map((line) => `    ${line}`),
    ...pairs(tile, (q, v) => {
      const sum = `i32x4.add(i32x4.shl(h${q}_${v}, 7), l${q}_${v})`;
      return `    f${q}_${v} = multiplyAdd(f32x4.convert_i32x4_s(${sum}), v128.load(k, ${v * 16}), f${q}_${v});`;
    }),
    `    x += ${queryBlockBytes};`,
    `    k += ${unit.bytes};`,
    `    sums += ${unit.bytes};`,
    '  }',
    ...pairs(tile, (q, v) => `  v128.store(out, f${q}_${v}, ${q * 1536 + v * 16});`),
    '}',
  ];
  return lines.join('\n');
}

/** Adds Σ weight · code over `steps` × 16 rows of `vectors` × 4 values to int32 sums: out[query · 256 + value]. */
function integerWeigh(tile: Tile, dot: DotName): string {
  const { queries, vectors } = tile;
  const [qs, vs] = [range(queries), range(vectors)];
  const step = (g: number): string[] => [
    ...vs.map((v) => `const c${v}_${g} = v128.load(values, ${g * 64 + v * 16});`),
    ...qs.flatMap((q) => [
      `const u${q}_${g} = v128.load32_splat(w, ${q * weightBytes + g * 8});`,
      ...vs.map((v) => `h${q}_${v} = ${dot}(c${v}_${g}, u${q}_${g}, h${q}_${v});`),
      `const s${q}_${g} = v128.load32_splat(w, ${q * weightBytes + g * 8 + 4});`,
      ...vs.map((v) => `l${q}_${v} = ${dot}(c${v}_${g}, s${q}_${g}, l${q}_${v});`),
    ]),
  ];
  const lines = [
    `export function weigh_${queries}x${vectors}_${dot}(w: usize, values: usize, steps: i32, out: usize): void {`,
    ...pairs(tile, (q, v) => `  let h${q}_${v} = i32x4.splat(0), l${q}_${v} = i32x4.splat(0);`),
    '  for (let i: i32 = 0; i < steps; i++) {',
    ...range(4)
      .flatMap(step)
      .map((line) => `    ${line}`),
    '    w += 32;',
    '    values += 256;',
    '  }',
    ...pairs(tile, (q, v) => {
      const place = q * 1024 + v * 16;
      const sum = `i32x4.add(i32x4.shl(h${q}_${v}, 7), l${q}_${v})`;
      return `  v128.store(out, i32x4.add(v128.load(out, ${place}), ${sum}), ${place});`;
    }),
    '}',
  ];
  return lines.join('\n');
}
