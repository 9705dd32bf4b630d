/**
 * Prints the AssemblyScript of the matrix kernels: for every packed layout tiles of 1 row (memory-bound), 2 and 4 rows
 * (compute-bound) × 16 columns. Unrolled text rather than generic code, because load offsets must be immediates and V8
 * keeps the order of instructions it is given. Each tile goes through a group's records once, front to back: what streams
 * from memory is then fetched ahead by the machine.
 *
 * Every tile adds the blocks of one result in the same order with the same operations, so a result has the same bits
 * whatever tile computed it.
 */
import { type DotVariant, dotVariants, kernelNumber } from './dot-variant.ts';
import { type PackedLayout, packedLayouts, recordOffsets } from './layout.ts';

/** Byte offsets in a block of the `q8` form; see `forms.ts`. */
const block = { scale: 0, scaledSum: 4, negativeLow: 8, negativeSum: 12, values: 16, bytes: 48 };

/** Rows, and quads of four columns whose integer sums are in registers at once. */
interface Tile {
  readonly rows: number;
  readonly quads: number;
}

/** Larger codes go in a lower and an upper part of four bits each. */
const partBits = 4;

function hasLargeCodes(layout: PackedLayout): boolean {
  return largestCode(layout) > 127;
}

/** Of what is multiplied: levels, where there is a table. */
function largestCode(layout: PackedLayout): number {
  if (layout.table) return Math.max(...layout.table);
  const bits = { nibble: 4, pair: 2, bit: 1, byte: 8 };
  return 2 ** layout.planes.reduce((sum, plane) => sum + bits[plane], 0) - 1;
}

const inParts = (layout: PackedLayout, variant: DotVariant): boolean =>
  variant !== 'wide' && hasLargeCodes(layout);

/** Products of one code with inputs of 127 that fit 16 bits, two at a time; a power of two, at most a block's eight vectors. */
function vectorsBeforeWidening(layout: PackedLayout): number {
  const largest = hasLargeCodes(layout) ? 2 ** partBits - 1 : largestCode(layout);
  return Math.min(8, 2 ** Math.floor(Math.log2(32767 / (2 * 127 * largest))));
}

const tiles: readonly Tile[] = [
  { rows: 1, quads: 4 },
  { rows: 2, quads: 4 },
  { rows: 4, quads: 2 },
];

const quadsOfGroup = 4;

const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

/** Layouts that differ in their tables only have one kernel: table and zero are its arguments. */
interface Kernel {
  /** The one with the largest codes. */
  readonly layout: PackedLayout;
  readonly numbers: readonly number[];
}

function kernelsOf(layouts: readonly PackedLayout[]): readonly Kernel[] {
  const kernels = new Map<string, Kernel>();
  for (const [number, layout] of layouts.entries()) {
    const { scale, bias, planes, table, blocks } = layout;
    const zero = table ? 'given' : layout.zero;
    const kind = JSON.stringify([scale, bias, planes, zero, blocks, hasLargeCodes(layout)]);
    const { layout: other = layout, numbers = [] } = kernels.get(kind) ?? {};
    const larger = largestCode(layout) > largestCode(other) ? layout : other;
    kernels.set(kind, { layout: larger, numbers: [...numbers, number] });
  }
  return [...kernels.values()];
}

const tileName = ({ numbers }: Kernel, variant: DotVariant, { rows }: Tile): string =>
  `tile${rows}_${numbers.join('_')}_${variant}`;

/** Variants that make a difference; `narrow` is `wide` where all codes are small. */
const variantsOf = (layout: PackedLayout): readonly DotVariant[] =>
  hasLargeCodes(layout) ? dotVariants : ['wide', 'halves'];

export function print(): string {
  const kernels = kernelsOf(packedLayouts);
  const functions = kernels.flatMap((kernel) =>
    tiles.flatMap((tile) => variantsOf(kernel.layout).map((variant) => tileFunction(kernel, variant, tile))),
  );
  return `// Printed by matmul-source.ts.
import { dot, dotPairs, multiplyAdd, halves, exponents } from './simd';

const CONSTANTS: usize = memory.data<u8>([${constantBytes().join(', ')}], 16);

${functions.join('\n')}
${tiles.map((tile) => dispatch(kernels, tile)).join('\n')}
`;
}

/**
 * Vector constants are loaded from memory once per call: V8 would rebuild a literal from a general register at every use,
 * three instructions each time. Masks of one byte value, then the sign and value bits of shifted halves; then, for every
 * layout, its table.
 */
const byteMasks = [15, 3, 48, 4, 16, 1];
const constantNames = [...byteMasks.map((value) => `mask${value}`), 'halfBits'];

function constantBytes(): number[] {
  const tables = packedLayouts.flatMap(({ table = [] }: PackedLayout) =>
    range(16).map((code) => table[code] ?? 0),
  );
  const halfBits = range(4).flatMap(() => [0x00, 0xe0, 0xff, 0x8f]);
  return [...byteMasks.flatMap((value) => Array<number>(16).fill(value)), ...halfBits, ...tables];
}

const tableOffset = (layout: number): number => (constantNames.length + layout) * 16;

/** Declarations of the constants that these lines use. */
function constantLoads(lines: readonly string[]): string[] {
  const text = lines.join('\n');
  const used = constantNames.filter((name) => new RegExp(`\\b${name}\\b`).test(text));
  return used.map((name) => `const ${name} = v128.load(CONSTANTS, ${constantNames.indexOf(name) * 16});`);
}

function dispatch(kernels: readonly Kernel[], tile: Tile): string {
  const cases = kernels.flatMap((kernel) =>
    kernel.numbers.flatMap((number) =>
      dotVariants.map((variant) => {
        const printed = variantsOf(kernel.layout).find((candidate) => candidate === variant) ?? 'wide';
        const { table, zero }: PackedLayout = packedLayouts[number] ?? kernel.layout;
        const given = table ? `, CONSTANTS + ${tableOffset(number)}, ${zero}` : '';
        const call = `${tileName(kernel, printed, tile)}(w, x, blocks, out${given})`;
        return `    case ${kernelNumber(number, variant)}: ${call}; break;`;
      }),
    ),
  );
  const [words, rows] = tile.rows > 1 ? [`${tile.rows} words`, 'those rows'] : ['a word', 'that row'];
  return `/** \`x\`: ${words}, where rows lie. Products of ${rows} and a group: out[row * 16 + column] without the group's scale. */
export function tile${tile.rows}(layout: i32, w: usize, x: usize, blocks: i32, out: usize): void {
  switch (layout) {
${cases.join('\n')}
  }
}
`;
}

function tileFunction(kernel: Kernel, variant: DotVariant, tile: Tile): string {
  const { layout } = kernel;
  // Sixteen vector registers hold eight sums beside codes and inputs; with two sums a result, half as many results.
  const sums = 1 + (layout.scale === 'half-pair' ? 1 : 0) + (inParts(layout, variant) ? 1 : 0);
  const quads = tile.rows > 1 && sums > 1 ? Math.max(1, tile.quads / 2) : tile.quads;
  const loop = blockLoop(layout, variant, { rows: tile.rows, quads });
  const given = layout.table ? ', tableAddress: usize, zero: i32' : '';
  const table = ['const table = v128.load(tableAddress);', 'const zeros = i32x4.splat(zero);'];
  return [
    `function ${tileName(kernel, variant, tile)}(w: usize, x: usize, blocks: i32, out: usize${given}): void {`,
    ...[...constantLoads(loop), ...(layout.table ? table : []), ...loop].map((line) => `  ${line}`),
    '}',
  ].join('\n');
}

/**
 * The loop over blocks. The float sums of one row stay in registers; those of more rows would be spilled by V8 anyway, so
 * they live at `out`, and an inner loop takes the group's quads in turn.
 */
function blockLoop(layout: PackedLayout, variant: DotVariant, tile: Tile): string[] {
  const offsets = recordOffsets(layout);
  const [rows, quads] = [range(tile.rows), range(tile.quads)];
  const inRegisters = tile.rows === 1;
  const each = (line: (m: number, g: number) => string): string[] =>
    rows.flatMap((m) => quads.map((g) => line(m, g)));
  // One pointer per part of the record whose place depends on the quad, so that loads keep immediate offsets.
  const pointers = [
    { name: 's', start: 0, step: layout.scale === 'exponent' ? 4 : 8 },
    ...layout.planes.map((plane, index) => ({
      name: `p${index}`,
      start: offsets.planes[index] ?? 0,
      step: planeQuadBytes[plane],
    })),
  ];
  const body = [
    ...rows.flatMap((m) => startSums(layout, variant, m, quads)),
    ...codesAndDots(layout, variant, tile),
    ...rows.map((m) => `const unit${m} = v128.load32_splat(x${m}, ${block.scale});`),
    ...(inRegisters ? [] : each((m, g) => `let f${m}_${g} = v128.load(o, ${m * 64 + g * 16});`)),
    ...quads.flatMap((g) => scaleSums(layout, variant, g, rows, offsets.bias)),
    ...(inRegisters ? [] : each((m, g) => `v128.store(o, f${m}_${g}, ${m * 64 + g * 16});`)),
  ];
  const further = (layout.blocks ?? 1) - 1;
  const codes = further === 0 ? 'w' : 'codes';
  const whole = [
    ...(further === 0 ? [] : [`const codes = w + <usize>(k & ${further}) * ${offsets.block};`]),
    ...pointers.map(({ name, start }) =>
      start === 0 ? `let ${name} = w;` : `let ${name} = ${codes} + ${start};`,
    ),
    ...(inRegisters ? [] : ['let o = out;']),
    ...(tile.quads === quadsOfGroup
      ? body
      : [
          `for (let quad: i32 = 0; quad < ${quadsOfGroup}; quad += ${tile.quads}) {`,
          ...body.map((line) => `  ${line}`),
          ...pointers.map(({ name, step }) => `  ${name} += ${step * tile.quads};`),
          `  o += ${16 * tile.quads};`,
          '}',
        ]),
    further === 0
      ? `w += ${offsets.bytes};`
      : `w += <usize>((k & ${further}) / ${further}) * ${offsets.bytes};`,
    ...rows.map((m) => `x${m} += ${block.bytes};`),
  ];
  return [
    ...rows.map((m) => `let x${m} = <usize>load<u32>(x, ${m * 4});`),
    ...(inRegisters
      ? each((m, g) => `let f${m}_${g} = f32x4.splat(0);`)
      : range(4 * tile.rows).map((vector) => `v128.store(out, f32x4.splat(0), ${vector * 16});`)),
    'for (let k: i32 = 0; k < blocks; k++) {',
    ...whole.map((line) => `  ${line}`),
    '}',
    ...(inRegisters ? each((m, g) => `v128.store(out, f${m}_${g}, ${m * 64 + g * 16});`) : []),
  ];
}

const planeQuadBytes = { nibble: 64, pair: 32, bit: 16, byte: 128 } as const;

/** Names of the integer sums of a result: `a` (and `b` of the high half where it has its own scale), `c` of upper parts. */
function sumNames(layout: PackedLayout, variant: DotVariant): string[] {
  return ['a', ...(layout.scale === 'half-pair' ? ['b'] : []), ...(inParts(layout, variant) ? ['c'] : [])];
}

/** Integer sums begin at −zero · Σx, so that codes can stay unsigned; those of 16 bits get it when they widen. */
function startSums(layout: PackedLayout, variant: DotVariant, m: number, quads: readonly number[]): string[] {
  const lines: string[] = [];
  const start = (sum: string) => (sum === 'c' ? 'i32x4.splat(0)' : offsetOf(layout, m, sum));
  for (const sum of sumNames(layout, variant)) {
    if (variant === 'halves') {
      for (const g of quads) lines.push(`let ${sum}${m}_${g} = i16x8.splat(0);`);
    } else {
      lines.push(`const z${sum}${m} = ${start(sum)};`);
      for (const g of quads) lines.push(`let ${sum}${m}_${g} = z${sum}${m};`);
    }
  }
  return lines;
}

const lowOf = (m: number): string => `v128.load32_splat(x${m}, ${block.negativeLow})`;
const sumOf = (m: number): string => `v128.load32_splat(x${m}, ${block.negativeSum})`;
const highOf = (m: number): string => `i32x4.sub(${sumOf(m)}, ${lowOf(m)})`;

/** −zero · Σx of the half of the block, or of the whole of it, that a sum covers. */
function offsetOf({ zero, scale, table }: PackedLayout, m: number, sum: string): string {
  if (zero === 0) return 'i32x4.splat(0)';
  const total = scale === 'half-pair' ? (sum === 'a' ? lowOf(m) : highOf(m)) : sumOf(m);
  return table ? `i32x4.mul(${total}, zeros)` : `i32x4.shl(${total}, ${Math.log2(zero)})`;
}

/** Loads of a block's planes, then for each k the codes of all quads and their products with every row. */
function codesAndDots(layout: PackedLayout, variant: DotVariant, tile: Tile): string[] {
  const lines: string[] = [];
  const [rows, quads] = [range(tile.rows), range(tile.quads)];
  const limit = vectorsBeforeWidening(layout);
  const added = new Map<string, number>();
  const widened = new Set<string>();
  const dots = (codes: readonly string[], k: number, sum: string) => {
    const count = (added.get(sum) ?? 0) + 1;
    added.set(sum, count);
    for (const m of rows) {
      lines.push(`const s${sum}${m}_${k} = v128.load32_splat(x${m}, ${block.values + k});`);
      for (const g of quads) {
        const [x, total] = [`s${sum}${m}_${k}`, `${sum}${m}_${g}`];
        if (variant !== 'halves') lines.push(`${total} = dot(${x}, ${codes[g]}, ${total});`);
        else lines.push(`${total} = i16x8.add(${total}, dotPairs(${x}, ${codes[g]}));`);
      }
    }
    if (variant === 'halves' && count % limit === 0) widen(sum);
  };
  const widen = (sum: string) => {
    for (const m of rows) {
      for (const g of quads) {
        const [total, name] = [`w${sum}${m}_${g}`, `${sum}${m}_${g}`];
        const wide = `i32x4.extadd_pairwise_i16x8_s(${name})`;
        if (widened.has(sum)) lines.push(`${total} = i32x4.add(${total}, ${wide});`);
        else if (sum === 'c') lines.push(`let ${total} = ${wide};`);
        else lines.push(`let ${total} = i32x4.add(${offsetOf(layout, m, sum)}, ${wide});`);
        lines.push(`${name} = i16x8.splat(0);`);
      }
    }
    widened.add(sum);
  };
  const named = (prefix: string, k: number, code: (g: number) => string): string[] =>
    quads.map((g) => {
      lines.push(`const ${prefix}${g}_${k} = ${code(g)};`);
      return `${prefix}${g}_${k}`;
    });
  const products = (codes: readonly string[], k: number, sum: string) => {
    if (!inParts(layout, variant)) return dots(codes, k, sum);
    const mask = `mask${2 ** partBits - 1}`;
    dots(
      named('l', k, (g) => `v128.and(${codes[g]}, ${mask})`),
      k,
      sum,
    );
    dots(
      named('u', k, (g) => `v128.and(i16x8.shr_u(${codes[g]}, ${partBits}), ${mask})`),
      k,
      'c',
    );
  };
  if (layout.planes[0] === 'byte') {
    for (const j of range(8))
      products(
        named('q', 4 * j, (g) => `v128.load(p0, ${g * 128 + j * 16})`),
        4 * j,
        'a',
      );
    return lines;
  }
  layout.planes.forEach((plane, index) => {
    for (const g of quads) {
      if (plane === 'bit') lines.push(`const h${g} = v128.load(p${index}, ${g * 16});`);
      if (plane === 'pair') {
        lines.push(`const r${g} = v128.load(p${index}, ${g * 32});`);
        lines.push(`const t${g} = v128.load(p${index}, ${g * 32 + 16});`);
      }
    }
  });
  for (const j of range(4)) {
    if (layout.planes[0] === 'nibble') {
      for (const g of quads) lines.push(`const q${g}_${j} = v128.load(p0, ${g * 64 + j * 16});`);
    }
    for (const half of [0, 1]) {
      const k = half * 16 + 4 * j;
      const sum = half === 1 && layout.scale === 'half-pair' ? 'b' : 'a';
      const plain = named('n', k, (g) => codeOf(layout, g, j, half));
      products(layout.table ? named('v', k, (g) => `i8x16.swizzle(table, ${plain[g]})`) : plain, k, sum);
    }
  }
  // Sums of fewer vectors than fit are still narrow.
  for (const [sum, count] of added) if (variant === 'halves' && count % limit !== 0) widen(sum);
  return lines;
}

/** Bits of a vector moved so that bit `from` comes to lie at `to` within its byte. */
function shifted(vector: string, from: number, to: number): string {
  if (from === to) return vector;
  return from > to ? `i16x8.shr_u(${vector}, ${from - to})` : `i16x8.shl(${vector}, ${to - from})`;
}

function codeOf(layout: PackedLayout, g: number, j: number, half: number): string {
  let position = 0;
  const parts = layout.planes.map((plane): string => {
    const at = position;
    switch (plane) {
      case 'nibble':
        position += 4;
        return half === 0 ? `v128.and(q${g}_${j}, mask15)` : `v128.and(i16x8.shr_u(q${g}_${j}, 4), mask15)`;
      case 'pair':
        position += 2;
        return `v128.and(${shifted(half === 0 ? `r${g}` : `t${g}`, 2 * j, at)}, mask${3 << at})`;
      case 'bit':
        position += 1;
        return `v128.and(${shifted(`h${g}`, half * 4 + j, at)}, mask${1 << at})`;
      default:
        throw new Error(`A plane ${plane} is a code by itself`);
    }
  });
  return parts.reduce((left, right) => `v128.or(${left}, ${right})`);
}

function scaleSums(
  layout: PackedLayout,
  variant: DotVariant,
  g: number,
  rows: readonly number[],
  bias: number,
): string[] {
  const pair = layout.scale === 'half-pair';
  const lines: string[] = [];
  const scale = (offset: number) =>
    layout.scale === 'exponent'
      ? `exponents(v128.load32_zero(s, ${offset + g * 4}))`
      : `halves(v128.load64_zero(s, ${offset + g * 8}), halfBits)`;
  lines.push(`const d${g} = ${scale(0)};`);
  if (pair) lines.push(`const e${g} = ${scale(32)};`);
  if (layout.bias) {
    lines.push(`const m${g} = ${scale(bias)};`);
    if (pair) lines.push(`const o${g} = ${scale(bias + 32)};`);
  }
  for (const m of rows) {
    const f = `f${m}_${g}`;
    const unit = `unit${m}`;
    const wide = (name: string) => `${variant === 'halves' ? 'w' : ''}${name}${m}_${g}`;
    const parts = `i32x4.add(${wide('a')}, i32x4.shl(${wide('c')}, ${partBits}))`;
    const sum = inParts(layout, variant) ? parts : wide('a');
    lines.push(`${f} = multiplyAdd(f32x4.mul(d${g}, ${unit}), f32x4.convert_i32x4_s(${sum}), ${f});`);
    if (pair) {
      lines.push(`${f} = multiplyAdd(f32x4.mul(e${g}, ${unit}), f32x4.convert_i32x4_s(${wide('b')}), ${f});`);
    }
    if (layout.bias && !pair) {
      lines.push(`${f} = multiplyAdd(m${g}, v128.load32_splat(x${m}, ${block.scaledSum}), ${f});`);
    }
    if (layout.bias && pair) {
      const part = (sum: string) => `f32x4.neg(f32x4.mul(${unit}, f32x4.convert_i32x4_s(${sum})))`;
      lines.push(`${f} = multiplyAdd(m${g}, ${part(lowOf(m))}, ${f});`);
      lines.push(`${f} = multiplyAdd(o${g}, ${part(highOf(m))}, ${f});`);
    }
  }
  return lines;
}
