/**
 * Attention over pages (flash attention): a workgroup takes a tile of rows, heads that share a key/value head, and a stretch
 * of what the rows see, 64 cache rows at a time with a running softmax. Where the stretch is not all, `attention-merge` puts
 * the parts together.
 *
 * What the rows of a sequence see is slots: their longest prefix, then 64 for the bits of their masks. A window keeps the last
 * of what a row sees.
 */

import { hyperbolicTangent } from './activation.ts';
import { bankAccess, banksOf, type CacheShape, cacheReaders, pageReader } from './cache.ts';
import {
  acrossSubgroup,
  arena,
  type Binding,
  entry,
  type KernelText,
  reads,
  step,
  threadNumber,
  times,
} from './kernel.ts';

export interface AttentionShape extends CacheShape {
  readonly headCount: number;
  readonly window: boolean;
  readonly softCap: boolean;
  /** A score more for each head, without a value. */
  readonly sinks: boolean;
  /** Heads of a group are computed together; else one by one, in a kernel that is quicker to compile. */
  readonly shared: boolean;
  /** Rows of a tile. */
  readonly rows: number;
  /** Threads whose largest score is found without workgroup memory: a power of two, 1 without subgroups. */
  readonly joined: number;
  /** Halves of the cache are read by the device's own type. */
  readonly halves: boolean;
}

type Heads = Pick<AttentionShape, 'headCount' | 'keyValueHeadCount' | 'keySize' | 'valueSize' | 'shared'>;

/** Queries of a workgroup, which share what is loaded: they, their scores and their sums fit 16 KiB, and registers. */
const mostQueries = ({ keySize, valueSize }: Heads): number => (Math.max(keySize, valueSize) > 128 ? 4 : 8);

export function headsPerGroup(shape: Heads): number {
  const { headCount, keyValueHeadCount, shared } = shape;
  if (!shared) return 1;
  const group = headCount / keyValueHeadCount;
  const tiles = Math.ceil(group / mostQueries(shape));
  return Math.ceil(group / tiles);
}

/** Of so many rows: what is loaded is shared by as many as there are queries for. */
export function rowsPerTile(shape: Heads, rows: number): number {
  if (!shape.shared || rows === 1) return 1;
  return Math.floor(mostQueries(shape) / headsPerGroup(shape));
}

/** Floats that one row and head leave for `attention-merge`, for each stretch: sums, largest score, sum of weights. */
export const partialFloats = ({ valueSize }: AttentionShape): number => valueSize + 4;

const partials: Binding = { name: 'partials', element: 'vec4<f32>', access: 'read_write' };

export function attentionKernel(shape: AttentionShape, banks: number, split: boolean): KernelText {
  const { type, headCount, keyValueHeadCount, keySize, valueSize, window, softCap, sinks } = shape;
  const group = headCount / keyValueHeadCount;
  const heads = headsPerGroup(shape);
  const tiles = Math.ceil(group / heads);
  const [keyQuads, valueQuads] = [keySize / 4, valueSize / 4];
  /** Threads that share a quad of values; each takes every so manieth row. */
  const shares = Math.max(1, Math.floor(64 / valueQuads));
  /** Quads of values that a thread takes. */
  const quadsEach = Math.ceil(valueQuads / 64);
  const queryCount = shape.rows * heads;
  /** Of each query, which is a head of a row. */
  const each = (text: (query: number) => string) => times(queryCount, text);
  const eachQuad = (text: (query: number, quad: number) => string) =>
    each((query) => times(quadsEach, (quad) => text(query, quad)));
  const eachRow = (text: (row: number) => string) => times(shape.rows, text);
  const rowOf = (query: number): number => Math.floor(query / heads);
  const headOf = (query: number): number => query % heads;
  const cap = softCap ? 'score = bitcast<f32>(p.cap) * hyperbolicTangent(score / bitcast<f32>(p.cap));' : '';
  const part = partialFloats(shape) / 4;
  const { joined, halves } = shape;
  /** Parts of 64 scores whose largest are found at the same time. */
  const tops = joined > 1 ? 64 / joined : 8;
  return {
    needs: [...(halves ? (['f16'] as const) : []), ...(joined > 1 ? (['subgroups'] as const) : [])],
    key: `attention ${type} ${headCount} ${keyValueHeadCount} ${keySize} ${valueSize} ${window} ${softCap} ${sinks} ${shape.shared} ${shape.rows} ${joined} ${halves} ${banks} ${split}`,
    bindings: [
      arena,
      step,
      ...(split ? [partials] : []),
      ...(sinks ? [reads('sinks', 'f32')] : []),
      ...banksOf(banks, 'read'),
    ],
    params: ['layer', 'rows', 'x', 'out', 'scale', 'window', 'cap', 'splits'],
    body: `
${bankAccess(banks, false)}
${pageReader}
${cacheReaders(shape, halves)}
${softCap ? hyperbolicTangent : ''}
var<workgroup> queries: array<vec4<f32>, ${queryCount * keyQuads}>;
var<workgroup> scores: array<f32, ${queryCount * 64}>;
var<workgroup> tops: array<f32, ${queryCount * tops}>;
var<workgroup> pages: array<u32, 64>;
var<workgroup> rows: array<u32, 64>;
${shares > 1 ? `var<workgroup> sums: array<vec4<f32>, ${queryCount * 64}>;` : ''}
${entry(`
  let group = wid.x / ${tiles}u;
  let firstHead = group * ${group}u + wid.x % ${tiles}u * ${heads}u;
  let headEnd = (group + 1u) * ${group}u;
  let firstRow = wid.y * ${shape.rows}u;
${eachRow(
  (row) => `
  let row${row} = min(firstRow + ${row}u, p.rows - 1u);
  let at${row} = step[4] + row${row} * 8u;
  let visible${row} = step[at${row} + 3u];
  let low${row} = step[at${row} + 4u];
  let high${row} = step[at${row} + 5u];
  let sequence${row} = step[at${row} + 6u];
  let seen${row} = visible${row} + countOneBits(low${row}) + countOneBits(high${row});
  let begin${row} = ${window ? `select(0u, seen${row} - p.window, seen${row} > p.window)` : '0u'};`,
)}
for (var i = lid; i < ${queryCount * keyQuads}u; i += 64u) {
  let query = i / ${keyQuads}u;
  let head = min(firstHead + query % ${heads}u, headEnd - 1u);
  let row = min(firstRow + query / ${heads}u, p.rows - 1u);
  queries[i] = arena[p.x + (row * ${headCount}u + head) * ${keyQuads}u + i % ${keyQuads}u] * bitcast<f32>(p.scale);
}
  let share = lid / ${Math.min(valueQuads, 64)}u;
  let quad = lid % ${Math.min(valueQuads, 64)}u;
${eachQuad((query, quad) => `var sum${query}q${quad} = vec4<f32>(0.0);`)}
${each((query) =>
  sinks
    ? `let isFirst${query} = ${split ? 'wid.z == 0u' : 'true'};
  var largest${query} = select(-3.0e38, sinks[min(firstHead + ${headOf(query)}u, headEnd - 1u)], isFirst${query});
  var total${query} = select(0.0, 1.0, share == 0u && isFirst${query});`
    : `var largest${query} = -3.0e38;\nvar total${query} = 0.0;`,
)}
${eachSequence(
  shape.rows,
  `
  let committed = step[step[6] + sequence * 4u + 2u];
  var prefix = 0u;
  var first = 0xffffffffu;
  var hasMask = false;
${eachRow(
  (row) => `
  if (isOf${row}) {
    prefix = max(prefix, visible${row});
    first = min(first, min(begin${row}, visible${row}));
    hasMask = hasMask || (low${row} | high${row}) != 0u;
  }`,
)}
  let slots = prefix + select(0u, 64u, hasMask);
${
  split
    ? `let stretch = (slots - first + p.splits * 64u - 1u) / (p.splits * 64u) * 64u;
  let begins = first + wid.z * stretch;
  let to = min(begins + stretch, slots);`
    : 'let begins = first;\nlet to = slots;'
}
for (var chunk = begins; chunk < to; chunk += 64u) {
  workgroupBarrier();
  let slot = chunk + lid;
  var cacheRow = slot;
${eachRow((row) => `var isSeen${row} = isOf${row} & (slot < min(to, visible${row})) & (slot >= begin${row});`)}
  if (slot >= prefix) {
    let bit = (slot - prefix) & 63u;
    let lower = (1u << (bit & 31u)) - 1u;
    cacheRow = committed + bit;
${eachRow(
  (row) => `
    let word${row} = select(low${row}, high${row}, bit >= 32u);
    let below${row} = countOneBits(word${row} & lower) + select(0u, countOneBits(low${row}), bit >= 32u);
    isSeen${row} = isOf${row} & (slot < to) & (((word${row} >> (bit & 31u)) & 1u) != 0u) & (visible${row} + below${row} >= begin${row});`,
)}
  }
  ${each((query) => `var score${query} = -3.0e38;`)}
  if (${Array.from({ length: shape.rows }, (_, row) => `isSeen${row}`).join(' | ')}) {
    let page = pageOf(sequence, cacheRow);
    pages[lid] = page;
    rows[lid] = cacheRow;
    ${each((query) => `var dot${query} = 0.0;`)}
    for (var i = 0u; i < ${keyQuads}u; i++) {
      let key = four_key(page, cacheRow, group * ${keySize}u + i * 4u);
      ${each((query) => `dot${query} += dot(queries[${query * keyQuads}u + i], key);`)}
    }
    ${each((query) => `{ var score = dot${query}; ${cap} score${query} = select(-3.0e38, score, isSeen${rowOf(query)}); }`)}
  } else {
    rows[lid] = 0xffffffffu;
  }
  ${
    joined > 1
      ? `${each((query) => `var top${query} = score${query};\n${acrossSubgroup(`top${query}`, joined, larger)}`)}
  if (lid % ${joined}u == 0u) {
    ${each((query) => `tops[${query * tops}u + lid / ${joined}u] = top${query};`)}
  }`
      : `${each((query) => `scores[${query * 64}u + lid] = score${query};`)}
  workgroupBarrier();
  if (lid < ${queryCount * tops}u) {
    var top = scores[lid * ${64 / tops}u];
    for (var i = 1u; i < ${64 / tops}u; i++) { top = max(top, scores[lid * ${64 / tops}u + i]); }
    tops[lid] = top;
  }`
  }
  workgroupBarrier();
  ${each(
    (query) => `
  var most${query} = largest${query};
  for (var i = 0u; i < ${tops}u; i++) { most${query} = max(most${query}, tops[${query * tops}u + i]); }
  let fade${query} = exp(largest${query} - most${query});
  largest${query} = most${query};
  total${query} *= fade${query};
  ${times(quadsEach, (quad) => `sum${query}q${quad} *= fade${query};`)}`,
  )}
  ${each((query) => `scores[${query * 64}u + lid] = select(0.0, exp(score${query} - most${query}), isSeen${rowOf(query)});`)}
  workgroupBarrier();
  if (share < ${shares}u) {
    for (var i = share; i < 64u; i += ${shares}u) {
      let row = rows[i];
      if (row == 0xffffffffu) { continue; }
      ${each((query) => `let weight${query} = scores[${query * 64}u + i];\ntotal${query} += weight${query};`)}
      ${times(
        quadsEach,
        (quad) => `
      if (quad + ${quad * 64}u < ${valueQuads}u) {
        let value = four_value(pages[i], row, group * ${valueSize}u + (quad + ${quad * 64}u) * 4u);
        ${each((query) => `sum${query}q${quad} += weight${query} * value;`)}
      }`,
      )}
    }
  }
}`,
)}
${
  shares > 1
    ? `workgroupBarrier();
if (share < ${shares}u) {
${each((query) => `sums[${query * 64}u + lid] = sum${query}q0;`)}
}
if (quad == 0u) {
${each((query) => `scores[${query * 64}u + share] = total${query};`)}
}
workgroupBarrier();`
    : ''
}
if (share == 0u) {
${each(
  (query) => `
{
${
  shares > 1
    ? `for (var other = 1u; other < ${shares}u; other++) {
  sum${query}q0 += sums[${query * 64}u + other * ${valueQuads}u + quad];
  total${query} += scores[${query * 64}u + other];
}`
    : ''
}
  let head = firstHead + ${headOf(query)}u;
if (head < headEnd && firstRow + ${rowOf(query)}u < p.rows) {
${times(quadsEach, (quad) => {
  const inside = quadsEach > 1 ? `if (quad + ${quad * 64}u < ${valueQuads}u) ` : '';
  return split
    ? `${inside}{ partials[part(row${rowOf(query)}, head, wid.z) + quad + ${quad * 64}u] = sum${query}q${quad}; }`
    : `${inside}{ arena[p.out + (row${rowOf(query)} * ${headCount}u + head) * ${valueQuads}u + quad + ${quad * 64}u] = sum${query}q${quad} / total${query}; }`;
})}
${split ? `if (quad == 0u) { partials[part(row${rowOf(query)}, head, wid.z) + ${valueQuads}u] = vec4<f32>(largest${query}, total${query}, 0.0, 0.0); }` : ''}
}
}`,
)}
}`)}
${split ? `fn part(t: u32, head: u32, stretch: u32) -> u32 { return ((t * ${headCount}u + head) * p.splits + stretch) * ${part}u; }` : ''}`,
  };
}

/** Rows that follow one another and are of one sequence are computed together; mostly that is the whole tile. */
function eachSequence(rows: number, text: string): string {
  const isOf = (condition: (row: number) => string): string =>
    times(rows, (row) => `let isOf${row} = ${condition(row)};`);
  if (rows === 1) return `let sequence = sequence0;\n${isOf(() => 'true')}\n${text}`;
  const later = Array.from({ length: rows }, (_, row) => rows - 1 - row).slice(0, -1);
  return `
  var end = 0u;
for (var start = 0u; start < ${rows}u; start = end) {
  let sequence = step[step[4] + min(firstRow + start, p.rows - 1u) * 8u + 6u];
  end = ${rows}u;
${later.map((row) => `if (start < ${row}u && sequence${row} != sequence) { end = ${row}u; }`).join('\n')}
${isOf((row) => `start <= ${row}u && end > ${row}u`)}
${text}
}`;
}

const larger = (own: string, other: string): string => `max(${own}, ${other})`;

/** One thread per row, head and quad of values. */
export function mergeKernel(shape: AttentionShape): KernelText {
  const { headCount, valueSize } = shape;
  const valueQuads = valueSize / 4;
  const part = partialFloats(shape) / 4;
  return {
    key: `attention-merge ${headCount} ${valueSize}`,
    bindings: [arena, partials],
    params: ['rows', 'out', 'splits'],
    body: entry(`
  let number = ${threadNumber};
if (number >= p.rows * ${headCount * valueQuads}u) { return; }
  let head = number / ${valueQuads}u;
  let quad = number % ${valueQuads}u;
  let base = head * p.splits * ${part}u;
  var largest = -3.0e38;
for (var i = 0u; i < p.splits; i++) { largest = max(largest, partials[base + i * ${part}u + ${valueQuads}u].x); }
  var sum = vec4<f32>(0.0);
  var total = 0.0;
for (var i = 0u; i < p.splits; i++) {
  let at = base + i * ${part}u;
  let weight = exp(partials[at + ${valueQuads}u].x - largest);
  sum += weight * partials[at + quad];
  total += weight * partials[at + ${valueQuads}u].y;
}
arena[p.out + number] = sum / total;`),
  };
}
