/**
 * The cache in pages: reading, writing, moving rows. A layer's part of a page holds, for 128 rows each and in 32-bit words,
 * keys and then values; a row of heads · size values as float32, as halves, or (q8_0) as signed bytes, after whose 128 rows
 * come 128 rows of float32 scales, one for each 32 bytes.
 */
import type { CacheType } from '../../../graph.ts';
import { cacheBlockRows } from '../../../plan.ts';
import {
  arena,
  arenaValue,
  type Binding,
  entry,
  type KernelText,
  step,
  threadNumber,
  times,
} from './kernel.ts';
import { exactHalves } from './weights.ts';

/** Of a page, which is one block. */
const pageRows = cacheBlockRows;

export interface CacheShape {
  readonly type: CacheType;
  readonly keyValueHeadCount: number;
  readonly keySize: number;
  readonly valueSize: number;
}

const valuesPerWord = { f32: 1, f16: 2, q8_0: 4 } as const satisfies Record<CacheType, number>;
/** What sizes of keys and values must be a multiple of. */
export const cacheMultiple = { f32: 4, f16: 4, q8_0: 32 } as const satisfies Record<CacheType, number>;

/** Where the parts of a layer begin within its place in a page, in words. */
export function cachePlaces({ type, keyValueHeadCount, keySize, valueSize }: CacheShape) {
  const rowWords = (size: number) => (keyValueHeadCount * size) / valuesPerWord[type];
  const scaleWords = (size: number) => (type === 'q8_0' ? (keyValueHeadCount * size) / 32 : 0);
  const keyScales = pageRows * rowWords(keySize);
  const values = keyScales + pageRows * scaleWords(keySize);
  const valueScales = values + pageRows * rowWords(valueSize);
  return {
    keys: { start: 0, rowWords: rowWords(keySize), scales: keyScales, scaleWords: scaleWords(keySize) },
    values: {
      start: values,
      rowWords: rowWords(valueSize),
      scales: valueScales,
      scaleWords: scaleWords(valueSize),
    },
    words: valueScales + pageRows * scaleWords(valueSize),
  };
}

export type CachePart = ReturnType<typeof cachePlaces>['keys'];

/** The buffers that pages lie in. An address has the buffer's number in its top bits. */
export const bankBits = 28;
export const banksOf = (count: number, access: Binding['access']): Binding[] =>
  Array.from({ length: count }, (_, bank) => ({ name: `bank${bank}`, element: 'u32', access }));

/** `fn cached(address)`, the word there; `fn keep(address, word)`. */
export function bankAccess(count: number, writes: boolean): string {
  const cases = (text: (bank: number) => string) =>
    count === 1
      ? text(0)
      : `switch (address >> ${bankBits}u) {\n${times(count, (bank) => `${bank === count - 1 ? 'default' : `case ${bank}u`}: { ${text(bank)} }`)}\n}`;
  const word = `address & ${2 ** bankBits - 1}u`;
  return `fn cached(address: u32) -> u32 { ${cases((bank) => `return bank${bank}[${word}];`)} }
${writes ? `fn keep(address: u32, word: u32) { ${cases((bank) => `bank${bank}[${word}] = word;`)} }` : ''}`;
}

/** `fn pageOf(sequence, cacheRow)`: the address of the layer's part of the page, `p.layer` being its offset. */
export const pageReader = `
fn pageOf(sequence: u32, cacheRow: u32) -> u32 {
  return step[step[step[6] + sequence * 4u] + (cacheRow >> 7u)] + p.layer;
}`;

/**
 * `fn four_x(page, row, value)`: four values of a row of a page from `value` on, a multiple of four. `halves`: by the
 * device's own type for them.
 */
export function quadReader(name: string, type: CacheType, part: CachePart, halves = false): string {
  const row = `page + ${part.start}u + (row & 127u) * ${part.rowWords}u`;
  const bodies: Record<CacheType, string> = {
    f32: `let at = ${row} + value;
return bitcast<vec4<f32>>(vec4<u32>(cached(at), cached(at + 1u), cached(at + 2u), cached(at + 3u)));`,
    f16: `let at = ${row} + (value >> 1u);
return vec4<f32>(${[0, 1].map((word) => (halves ? `vec2<f32>(bitcast<vec2<f16>>(cached(at + ${word}u)))` : `exactHalves(cached(at + ${word}u))`)).join(', ')});`,
    q8_0: `let scale = bitcast<f32>(cached(page + ${part.scales}u + (row & 127u) * ${part.scaleWords}u + (value >> 5u)));
  let bytes = vec4<i32>(bitcast<i32>(cached(${row} + (value >> 2u))));
return scale * vec4<f32>((bytes << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u));`,
  };
  return `fn four_${name}(page: u32, row: u32, value: u32) -> vec4<f32> { ${bodies[type]} }`;
}

/** Halves are rounded to nearest, ties to even, the largest finite one at most; hosts may round otherwise. */
const halfWriter = `
fn halfOf(x: f32) -> u32 {
  let bits = bitcast<u32>(clamp(x, -65504.0, 65504.0));
  let magnitude = bits & 0x7fffffffu;
  let sign = (bits >> 16u) & 0x8000u;
  if (magnitude < 0x38800000u) {
    // Halves below 2^-14 are multiples of 2^-24, and so are floats from 1/2 to 1.
    let rounded = bitcast<f32>(magnitude) + 0.5;
    return sign | (bitcast<u32>(rounded) - 0x3f000000u);
  }
  return sign | ((magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13u) & 1u)) >> 13u);
}`;

/**
 * `fn write_x(page, row, value)`: keeps the unit of values from `value` on, which `fn source_x(value)` gives: a word of
 * float32 or halves, or 32 values with their scale.
 */
function unitWriter(name: string, type: CacheType, part: CachePart): string {
  const row = `page + ${part.start}u + (row & 127u) * ${part.rowWords}u`;
  const bodies: Record<CacheType, string> = {
    f32: `keep(${row} + value, bitcast<u32>(source_${name}(t, value)));`,
    f16: `keep(${row} + (value >> 1u), halfOf(source_${name}(t, value)) | (halfOf(source_${name}(t, value + 1u)) << 16u));`,
    q8_0: `
  var most = 0.0;
for (var i = 0u; i < 32u; i++) { most = max(most, abs(source_${name}(t, value + i))); }
  let first = most * (1.0 / 127.0);
  let scale = fma(fma(-first, 127.0, most), 1.0 / 127.0, first);
  let about = 1.0 / scale;
  let inverse = fma(fma(-about, scale, 1.0), about, about);
  let small = !(most > 1e-30);
keep(page + ${part.scales}u + (row & 127u) * ${part.scaleWords}u + (value >> 5u), select(bitcast<u32>(scale), 0u, small));
for (var word = 0u; word < 8u; word++) {
  var packed = 0u;
  for (var byte = 0u; byte < 4u; byte++) {
    let code = i32(round(source_${name}(t, value + word * 4u + byte) * inverse));
    packed |= (u32(code) & 255u) << (byte * 8u);
  }
  keep(${row} + (value >> 2u) + word, select(packed, 0u, small));
}`,
  };
  return `fn write_${name}(page: u32, row: u32, t: u32, value: u32) { ${bodies[type]} }`;
}

const unitValues = { f32: 1, f16: 2, q8_0: 32 } as const satisfies Record<CacheType, number>;

export interface Rotation {
  readonly headCount: number;
  readonly headSize: number;
  readonly pairCount: number;
  readonly pairing: 'adjacent' | 'split';
}

/**
 * `fn turned(x, width, head, place, t)`: value `place` of a head after its rotation. Angles are turns in 32 bits of
 * fraction, exact for any position: p.frequency · position wraps around as a whole number of turns should. Sine and cosine
 * of an eighth of a turn are polynomials (the least-squares ones of Cephes), since WGSL promises only 2^-11.
 */
export function rotationFunctions({ pairCount, pairing }: Rotation): string {
  const pairOf = pairing === 'adjacent' ? 'place >> 1u' : `place % ${pairCount}u`;
  const isFirst = pairing === 'adjacent' ? '(place & 1u) == 0u' : `place < ${pairCount}u`;
  const partner =
    pairing === 'adjacent'
      ? 'place ^ 1u'
      : `select(place - ${pairCount}u, place + ${pairCount}u, place < ${pairCount}u)`;
  return `
fn highProduct(a: u32, b: u32) -> u32 {
  let al = a & 0xffffu; let ah = a >> 16u; let bl = b & 0xffffu; let bh = b >> 16u;
  let low = al * bl; let middle = ah * bl + (low >> 16u); let cross = al * bh + (middle & 0xffffu);
  return ah * bh + (middle >> 16u) + (cross >> 16u);
}
fn cosineSine(pair: u32, position: u32) -> vec2<f32> {
  let turn = frequencies[2u * pair] * position + highProduct(frequencies[2u * pair + 1u], position);
  let quarter = (turn + 0x20000000u) >> 30u;
  let angle = f32(bitcast<i32>(turn - (quarter << 30u))) * 1.4629180792671596e-9;
  let square = angle * angle;
  let sine = angle + angle * square * (-1.6666654611e-1 + square * (8.3321608736e-3 - square * 1.9515295891e-4));
  let cosine = 1.0 - 0.5 * square
    + square * square * (4.166664568298827e-2 + square * (-1.388731625493765e-3 + square * 2.443315711809948e-5));
  let both = select(vec2<f32>(cosine, sine), vec2<f32>(-sine, cosine), (quarter & 1u) != 0u);
  return select(both, -both, quarter >= 2u) * bitcast<f32>(p.magnitude);
}
fn turned(x: u32, place: u32, position: u32) -> f32 {
  let own = ${arenaValue('x + place')};
  if (place >= ${2 * pairCount}u) { return own; }
  let other = ${arenaValue(`x + (${partner})`)};
  let turn = cosineSine(${pairOf}, position);
  return own * turn.x + other * select(turn.y, -turn.y, ${isFirst});
}`;
}

/** Turns every head of a buffer; a thread does the two values of a pair, or one value that stays. */
export function ropeKernel(rotation: Rotation): KernelText {
  const { headSize, headCount, pairCount, pairing } = rotation;
  return {
    key: `rope ${headCount} ${headSize} ${pairCount} ${pairing}`,
    bindings: [arena, step, { name: 'frequencies', element: 'u32', access: 'read' }],
    params: ['rows', 'x', 'out', 'magnitude'],
    body: `${rotationFunctions(rotation)}
${entry(`${turnUnit(rotation, threadNumber, 'x', 'out', headCount)}`)}`,
  };
}

/** Units of a head: its pairs, and the values that stay. */
export const unitsPerHead = ({ headSize, pairCount }: Rotation): number => headSize - pairCount;

/** Turns unit `thread` of the rows' heads from one buffer to another, or in place. */
function turnUnit(rotation: Rotation, thread: string, from: string, to: string, headCount: number): string {
  const { headSize, pairCount, pairing } = rotation;
  const units = unitsPerHead(rotation);
  const places = pairing === 'adjacent' ? ['unit * 2u', 'unit * 2u + 1u'] : ['unit', `unit + ${pairCount}u`];
  return `
  let thread = ${thread};
  let t = thread / ${units * headCount}u;
if (t >= p.rows) { return; }
  let head = thread / ${units}u % ${headCount}u;
  let unit = thread % ${units}u;
  let start = (t * ${headCount}u + head) * ${headSize}u;
if (unit < ${pairCount}u) {
  let position = step[step[4] + t * 8u + 1u];
  let first = turned(p.${from} + start, ${places[0]}, position);
  let second = turned(p.${from} + start, ${places[1]}, position);
  ${arenaValue(`p.${to} + start + ${places[0]}`)} = first;
  ${arenaValue(`p.${to} + start + ${places[1]}`)} = second;
} else {
  let rest = unit + ${pairCount}u;
  ${arenaValue(`p.${to} + start + rest`)} = ${arenaValue(`p.${from} + start + rest`)};
}`;
}

/** Writes keys and values of the step's rows in their places, keys turned on the way where the rotation is fused. */
export function cacheWriteKernel(
  shape: CacheShape,
  banks: number,
  rotation?: { readonly keys: Rotation; readonly queryHeads: number },
): KernelText {
  const { type, keyValueHeadCount, keySize, valueSize } = shape;
  const places = cachePlaces(shape);
  const unit = unitValues[type];
  const keyUnits = (keyValueHeadCount * keySize) / unit;
  const valueUnits = (keyValueHeadCount * valueSize) / unit;
  const queryUnits = rotation ? unitsPerHead(rotation.keys) * rotation.queryHeads : 0;
  const key = rotation
    ? `let head = value / ${keySize}u;
return turned(p.keys + (t * ${keyValueHeadCount}u + head) * ${keySize}u, value % ${keySize}u, step[step[4] + t * 8u + 1u]);`
    : `return ${arenaValue(`p.keys + t * ${keyValueHeadCount * keySize}u + value`)};`;
  const rope = rotation ? `${Object.values(rotation.keys).join(' ')} ${rotation.queryHeads}` : '';
  return {
    key: `cache-write ${type} ${keyValueHeadCount} ${keySize} ${valueSize} ${banks} ${rope}`,
    bindings: [
      arena,
      step,
      ...(rotation ? [{ name: 'frequencies', element: 'u32', access: 'read' } as const] : []),
      ...banksOf(banks, 'read_write'),
    ],
    params: ['rows', 'layer', 'keys', 'values', 'x', 'out', 'magnitude'],
    body: [
      bankAccess(banks, true),
      pageReader,
      type === 'f16' ? halfWriter : '',
      rotation ? rotationFunctions(rotation.keys) : '',
      `fn source_key(t: u32, value: u32) -> f32 { ${key} }`,
      `fn source_value(t: u32, value: u32) -> f32 { return ${arenaValue(`p.values + t * ${keyValueHeadCount * valueSize}u + value`)}; }`,
      unitWriter('key', type, places.keys),
      unitWriter('value', type, places.values),
      rotation
        ? `fn turnQueries(index: u32) {${turnUnit(rotation.keys, 'index', 'x', 'out', rotation.queryHeads)}}`
        : '',
      entry(`
  let number = ${threadNumber};
  let kept = p.rows * ${keyUnits + valueUnits}u;
if (number >= kept) { ${rotation ? `if (number < kept + p.rows * ${queryUnits}u) { turnQueries(number - kept); }` : ''} return; }
  let t = number / ${keyUnits + valueUnits}u;
  let place = number % ${keyUnits + valueUnits}u;
  let at = step[4] + t * 8u;
  let cacheRow = step[at + 2u];
  let page = pageOf(step[at + 6u], cacheRow);
if (place < ${keyUnits}u) { write_key(page, cacheRow, t, place * ${unit}u); }
else { write_value(page, cacheRow, t, (place - ${keyUnits}u) * ${unit}u); }`),
    ].join('\n'),
  };
}

/** Threads that `cacheWriteKernel` needs per row. */
export function cacheWriteThreads(
  { type, keyValueHeadCount, keySize, valueSize }: CacheShape,
  rotation?: { readonly keys: Rotation; readonly queryHeads: number },
): number {
  const queries = rotation ? unitsPerHead(rotation.keys) * rotation.queryHeads : 0;
  return (keyValueHeadCount * (keySize + valueSize)) / unitValues[type] + queries;
}

/** A thread takes one word of a row through all moves, one after the other, so that a row may move down. */
export function cacheMoveKernel(shape: CacheShape, banks: number): KernelText {
  const { keys, values } = cachePlaces(shape);
  const pieces = [
    { start: keys.start, words: keys.rowWords },
    { start: keys.scales, words: keys.scaleWords },
    { start: values.start, words: values.rowWords },
    { start: values.scales, words: values.scaleWords },
  ].filter(({ words }) => words > 0);
  let end = 0;
  const finds = pieces.map(({ start, words }) => {
    const first = end;
    end += words;
    return `if (word >= ${first}u && word < ${end}u) { start = ${start}u + word - ${first}u; stride = ${words}u; }`;
  });
  return {
    key: `cache-move ${shape.type} ${shape.keyValueHeadCount} ${shape.keySize} ${shape.valueSize} ${banks}`,
    bindings: [step, ...banksOf(banks, 'read_write')],
    params: ['layer'],
    body: [
      bankAccess(banks, true),
      pageReader,
      entry(`
  let word = ${threadNumber};
if (word >= ${end}u) { return; }
  var start = 0u;
  var stride = 0u;
${finds.join('\n')}
for (var index = 0u; index < step[3]; index++) {
  let at = step[7] + index * 4u;
  let source = pageOf(step[at], step[at + 1u]) + start + (step[at + 1u] & 127u) * stride;
  let to = pageOf(step[at + 2u], step[at + 3u]) + start + (step[at + 3u] & 127u) * stride;
  keep(to, cached(source));
}`),
    ].join('\n'),
  };
}

export const cacheMoveThreads = (shape: CacheShape): number => {
  const { keys, values } = cachePlaces(shape);
  return keys.rowWords + keys.scaleWords + values.rowWords + values.scaleWords;
};

/** `fn four_key`, `fn four_value`. */
export const cacheReaders = (shape: CacheShape, halves: boolean): string => {
  const places = cachePlaces(shape);
  return [
    shape.type === 'f16' && !halves ? exactHalves : '',
    quadReader('key', shape.type, places.keys, halves),
    quadReader('value', shape.type, places.values, halves),
  ].join('\n');
};
