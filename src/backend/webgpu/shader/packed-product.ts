/**
 * Matrix products for many rows by dot products of four bytes at once. Each block of 32 inputs is rounded to bytes by a scale
 * of its own while it is brought to workgroup memory; codes are bytes as they are, and affine parts stay outside.
 */
import { type BlockLayout, type Plane, planeBits } from '../weight-layout.ts';
import { type BlockTile, blockTileKernel, each, type TileSource, tileSize } from './block-tile.ts';
import { type KernelText, times } from './kernel.ts';
import type { ProductShape } from './product.ts';
import { blockWords, levelWords } from './weights.ts';

export function packedProductKernel(shape: ProductShape): KernelText {
  const blocks = shape.gating ? 1 : 2;
  const count = blocks * tileSize;
  const tile: BlockTile = {
    name: 'packed',
    needs: [],
    blocks,
    functions: shape.layouts
      .map((layout, part) => (layout.kind === 'block' ? codeFunction(layout, `w${part}`) : ''))
      .join('\n'),
    inputMemory: `var<workgroup> inputCodes: array<vec4<u32>, ${2 * count}>;
var<workgroup> inputScales: array<vec4<f32>, ${count}>;`,
    weightMemory: ({ number }) => `var<workgroup> codes${number}: array<vec4<u32>, ${2 * count}>;
var<workgroup> scales${number}: array<vec4<f32>, ${count}>;`,
    putInput: `let largest = max(${halves('max', (quad) => `abs(x${quad})`)});
    let size = max(max(largest.x, largest.y), max(largest.z, largest.w));
    let inverse = select(0.0, 127.0 / size, size > 0.0);
    ${times(8, (quad) => `let word${quad} = pack4xI8(vec4<i32>(round(x${quad} * inverse)));`)}
    inputCodes[at] = vec4<u32>(word0, word1, word2, word3);
    inputCodes[at + ${count}u] = vec4<u32>(word4, word5, word6, word7);
    let ones = 0x01010101u;
    let sums = vec2<i32>(${[0, 4].map((first) => sumOf((quad) => `dot4I8Packed(word${first + quad}, ones)`)).join(', ')});
    inputScales[at] = vec4<f32>(size / 127.0, vec2<f32>(sums), 0.0);`,
    putWeight: ({ part, number }) => `codes${number}[at] = codes_w${part}(index, 0u);
    codes${number}[at + ${count}u] = codes_w${part}(index, 1u);
    scales${number}[at] = scales_w${part}(index);`,
    multiply: (source) => multiply(source, count),
  };
  return blockTileKernel(shape, tile);
}

const sumOf = (term: (index: number) => string): string => [0, 1, 2, 3].map(term).join(' + ');

const halves = (combine: string, value: (quad: number) => string): string =>
  [0, 4]
    .map((first) => {
      const [a, b, c, d] = [0, 1, 2, 3].map((quad) => value(first + quad));
      return `${combine}(${combine}(${a}, ${b}), ${combine}(${c}, ${d}))`;
    })
    .join(', ');

function multiply({ layout, number }: TileSource, count: number): string {
  const dot = (row: number, half: number) =>
    sumOf((word) => `dot4I8Packed(a${row}h${half}[${word}], w${half}[${word}])`);
  const term = (row: number): string => {
    const halvesOf = [0, 1].map((half) => `f32(${dot(row, half)})`);
    const products =
      layout.scales === 1
        ? `s.x * f32(${dot(row, 0)} + ${dot(row, 1)})`
        : `s.x * ${halvesOf[0]} + s.y * ${halvesOf[1]}`;
    if (!layout.bias) return products;
    const biases =
      layout.scales === 1 ? `s.z * (t${row}.y + t${row}.z)` : `s.z * t${row}.y + s.w * t${row}.z`;
    return `${products} + ${biases}`;
  };
  return `{
  ${each(
    (row) => `let a${row}h0 = inputCodes[at + down + ${16 * row}u];
  let a${row}h1 = inputCodes[at + down + ${16 * row + count}u];
  let t${row} = inputScales[at + down + ${16 * row}u];`,
  )}
  ${each(
    (column) => `{
    let w0 = codes${number}[at + across + ${16 * column}u];
    let w1 = codes${number}[at + across + ${16 * column + count}u];
    let s = scales${number}[at + across + ${16 * column}u];
    ${each((row) => `v${number}r${row}c${column} += t${row}.x * (${term(row)});`)}
  }`,
  )}
}`;
}

/** 16 codes of a plane as bytes, four to a word; `half` is 0 or 1, `at` the block's first word. */
const planeBytes: Readonly<Record<Plane, (name: string, at: string) => string>> = {
  nibble: (name, at) => `(${name}[${at} >> 2u] >> vec4<u32>(4u * half)) & vec4<u32>(0x0f0f0f0fu)`,
  byte: (name, at) => `${name}[(${at} >> 2u) + half]`,
  pair: (name, at) =>
    spread(`(vec4<u32>(word_${name}(${at} + half)) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u)`, 6, 3),
  bit: (name, at) =>
    spread(
      `(vec4<u32>(word_${name}(${at}) >> (16u * half)) >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u)`,
      ...([7, 1] as const),
    ),
};

/** Bits of four codes that lie side by side, moved to the bottom of a byte each. */
const spread = (bits: string, shift: number, mask: number): string =>
  `(${[0, 1, 2, 3].map((place) => `((${bits}) << vec4<u32>(${shift * place}u))`).join(' | ')}) & vec4<u32>(${mask * 0x01010101}u)`;

/** `fn codes_w(index, half)`: 16 codes of a block as bytes with signs, without the zero, or levels of the table. */
function codeFunction(layout: BlockLayout, name: string): string {
  let below = 0;
  const planes = layout.planes.map((plane, number) => {
    const at = `(p.${name}plane${number} + index * ${blockWords(plane)}u)`;
    const bytes = `((${planeBytes[plane](name, at)}) << vec4<u32>(${below}u))`;
    below += planeBits[plane];
    return bytes;
  });
  const levels = ['x', 'y', 'z', 'w'].map((axis) => `levels_${name}(codes.${axis})`);
  return `
fn codes_${name}(index: u32, half: u32) -> vec4<u32> {
  let codes = ${planes.join(' | ')};
  ${layout.levels ? `return vec4<u32>(${levels.join(', ')});` : withoutZero(layout)}
}
${layout.levels ? levelFunction(layout.levels, name) : ''}`;
}

/** Bytes of 128 and more take the zero from below without borrowing of their neighbours. */
function withoutZero({ zero }: BlockLayout): string {
  if (zero === 0) return 'return codes;';
  if (zero === 128) return 'return codes ^ vec4<u32>(0x80808080u);';
  return `return ((codes | vec4<u32>(0x80808080u)) - vec4<u32>(${zero * 0x01010101}u)) ^ vec4<u32>(0x80808080u);`;
}

function levelFunction(levels: readonly number[], name: string): string {
  const [x, y, z, w] = levelWords(levels).map((word) => `${word}u`);
  const bytes = [0, 8, 16, 24].map((shift) => `(level_${name}((codes >> ${shift}u) & 255u) << ${shift}u)`);
  return `
fn level_${name}(code: u32) -> u32 {
  let low = select(${x}, ${y}, (code & 4u) != 0u);
  let high = select(${z}, ${w}, (code & 4u) != 0u);
  return (select(low, high, code >= 8u) >> ((code & 3u) * 8u)) & 255u;
}
fn levels_${name}(codes: u32) -> u32 { return (${bytes.join(' | ')}) ^ 0x80808080u; }`;
}
