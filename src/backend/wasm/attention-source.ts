/**
 * Prints the AssemblyScript of attention's inner products, by cache type (layouts in `assembly/cache.ts`); unrolled for the
 * reasons that `matmul-source.ts` gives.
 *
 * Integer kernels take queries and weights of fourteen bits, so that every product is exact on every host and a result does
 * not depend on the order of its sums. Where the host adds four products of bytes at once (`bytes`), they come as two
 * parts of seven bits, value = 128 · upper + lower; elsewhere as words, and codes are widened to words (`words`).
 */
const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

/**
 * A query, per 32 values: eight times four words, or four upper and four lower bytes, of what is 2^13 more than the value.
 */
const queryBlockBytes = 64;
/** Bytes from one query to the next: up to 256 values. */
const queryBytes = 8 * queryBlockBytes;
/** Of a unit of keys. */
const unit = { codes: 96, bytes: 608 };
/** Bytes from one query's weights to the next: three pages of 32 groups of eight bytes. */
const weightBytes = 3 * 256;

/** Queries × vectors of four rows, or of four values. */
interface Tile {
  readonly queries: number;
  readonly vectors: number;
}

/** How codes meet what they are multiplied with. */
interface IntegerKind {
  readonly name: 'bytes' | 'words';
  readonly tiles: readonly Tile[];
}

const integerKinds: readonly IntegerKind[] = [
  {
    name: 'bytes',
    tiles: [
      { queries: 1, vectors: 4 },
      { queries: 2, vectors: 2 },
    ],
  },
  {
    name: 'words',
    tiles: [
      { queries: 1, vectors: 4 },
      { queries: 4, vectors: 1 },
      { queries: 2, vectors: 2 },
    ],
  },
];

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
  const integers = integerKinds.flatMap((kind) =>
    kind.tiles.flatMap((tile) => [integerScores(tile, kind), integerWeigh(tile, kind)]),
  );
  return `// Printed by attention-source.ts.
import { addNeighbours, dot, multiplyAdd, widened } from './simd';

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

/** Products of one vector of codes at `place` with every query's eight bytes at `step`, added to their sums. */
function products(
  { queries, vectors }: Tile,
  { name }: IntegerKind,
  codes: { readonly pointer: string; readonly place: number },
  other: { readonly pointer: string; readonly place: number; readonly stride: number },
): string[] {
  const [qs, vs] = [range(queries), range(vectors)];
  const load = (kind: string, offset: number) =>
    `v128.load${kind}(${codes.pointer}, ${codes.place + offset})`;
  const splat = (kind: string, q: number, offset: number) =>
    `v128.load${kind}_splat(${other.pointer}, ${other.place + q * other.stride + offset})`;
  if (name === 'bytes') {
    return [
      ...vs.map((v) => `k${v} = ${load('', v * 16)};`),
      ...qs.flatMap((q) => [
        `x${q} = ${splat('32', q, 0)};`,
        ...vs.map((v) => `h${q}_${v} = dot(k${v}, x${q}, h${q}_${v});`),
        `x${q} = ${splat('32', q, 4)};`,
        ...vs.map((v) => `l${q}_${v} = dot(k${v}, x${q}, l${q}_${v});`),
      ]),
    ];
  }
  return [
    ...qs.map((q) => `x${q} = ${splat('64', q, 0)};`),
    ...vs.flatMap((v) =>
      ['l', 'h'].flatMap((half, index) => [
        `k${v} = ${load('8x8_s', v * 16 + index * 8)};`,
        ...qs.map((q) => `${half}${q}_${v} = i32x4.add(${half}${q}_${v}, i32x4.dot_i16x8_s(k${v}, x${q}));`),
      ]),
    ),
  ];
}

/** What holds codes and queries in turn. */
const operands = ({ queries, vectors }: Tile): string =>
  `  let ${[...range(vectors).map((v) => `k${v}: v128`), ...range(queries).map((q) => `x${q}: v128`)].join(', ')};`;

/** Four sums of a query and a vector of codes. */
const wholeSum = ({ name }: IntegerKind, q: number, v: number): string =>
  name === 'bytes'
    ? `i32x4.add(i32x4.shl(h${q}_${v}, 7), l${q}_${v})`
    : `addNeighbours(l${q}_${v}, h${q}_${v})`;

/** Scores of `vectors` × 4 rows: out[query · 384 + row], without the query's scale. */
function integerScores(tile: Tile, kind: IntegerKind): string {
  const { queries, vectors } = tile;
  const isBytes = kind.name === 'bytes';
  const start = (v: number): string => (isBytes ? `z${v}` : 'i32x4.splat(0)');
  // What takes the offset of bytes back.
  const sums = isBytes ? ' sums: usize,' : '';
  const lines = [
    `export function scores_${queries}x${vectors}_${kind.name}(x: usize, k: usize,${sums} blocks: i32, out: usize): void {`,
    operands(tile),
    ...pairs(tile, (q, v) => `  let f${q}_${v} = f32x4.splat(0);`),
    '  for (let block: i32 = 0; block < blocks; block++) {',
    ...(isBytes
      ? range(vectors).map((v) => `    const z${v} = i32x4.shl(v128.load16x4_s(sums, ${v * 8}), 13);`)
      : []),
    ...pairs(tile, (q, v) => `    let h${q}_${v} = i32x4.splat(0), l${q}_${v} = ${start(v)};`),
    ...range(8)
      .flatMap((g) =>
        products(
          tile,
          kind,
          { pointer: 'k', place: unit.codes + g * 64 },
          { pointer: 'x', place: g * 8, stride: queryBytes },
        ),
      )
      .map((line) => `    ${line}`),
    ...pairs(tile, (q, v) => {
      const sum = `f32x4.convert_i32x4_s(${wholeSum(kind, q, v)})`;
      return `    f${q}_${v} = multiplyAdd(${sum}, v128.load(k, ${v * 16}), f${q}_${v});`;
    }),
    `    x += ${queryBlockBytes};`,
    `    k += ${unit.bytes};`,
    ...(isBytes ? [`    sums += ${unit.bytes};`] : []),
    '  }',
    ...pairs(tile, (q, v) => `  v128.store(out, f${q}_${v}, ${q * 1536 + v * 16});`),
    '}',
  ];
  return lines.join('\n');
}

/** Adds Σ weight · code over `steps` × 16 rows of `vectors` × 4 values to int32 sums: out[query · 256 + value]. */
function integerWeigh(tile: Tile, kind: IntegerKind): string {
  const { queries, vectors } = tile;
  const lines = [
    `export function weigh_${queries}x${vectors}_${kind.name}(w: usize, values: usize, steps: i32, out: usize): void {`,
    operands(tile),
    ...pairs(tile, (q, v) => `  let h${q}_${v} = i32x4.splat(0), l${q}_${v} = i32x4.splat(0);`),
    '  for (let i: i32 = 0; i < steps; i++) {',
    ...range(4)
      .flatMap((g) =>
        products(
          tile,
          kind,
          { pointer: 'values', place: g * 64 },
          { pointer: 'w', place: g * 8, stride: weightBytes },
        ),
      )
      .map((line) => `    ${line}`),
    '    w += 32;',
    '    values += 256;',
    '  }',
    ...pairs(tile, (q, v) => {
      const place = q * 1024 + v * 16;
      return `  v128.store(out, i32x4.add(v128.load(out, ${place}), ${wholeSum(kind, q, v)}), ${place});`;
    }),
    '}',
  ];
  return lines.join('\n');
}
