/**
 * Attention over pages (flash attention): a workgroup takes one row, heads that share a key/value head, and a stretch of
 * what the row sees, 64 cache rows at a time with a running softmax. Where the stretch is not all, `attention-merge` puts
 * the parts together.
 *
 * What a row sees is slots: its prefix, then 64 for the bits of its mask. A window keeps the last of what is seen.
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
  /** Threads whose largest score is found without workgroup memory: a power of two, 1 without subgroups. */
  readonly joined: number;
  /** Halves of the cache are read by the device's own type. */
  readonly halves: boolean;
}

/** Heads of a workgroup, which share what is loaded: queries, scores and sums of all of them fit 16 KiB. */
export function headsPerGroup(shape: AttentionShape): number {
  const { headCount, keyValueHeadCount, keySize, valueSize, shared } = shape;
  if (!shared) return 1;
  const group = headCount / keyValueHeadCount;
  const most = Math.max(keySize, valueSize) > 128 ? 4 : 8;
  const tiles = Math.ceil(group / most);
  return Math.ceil(group / tiles);
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
  const each = (text: (head: number) => string) => times(heads, text);
  const eachQuad = (text: (head: number, quad: number) => string) =>
    each((head) => times(quadsEach, (quad) => text(head, quad)));
  const cap = softCap ? 'score = bitcast<f32>(p.cap) * hyperbolicTangent(score / bitcast<f32>(p.cap));' : '';
  const part = partialFloats(shape) / 4;
  const { joined, halves } = shape;
  const tops = 64 / joined;
  return {
    needs: [...(halves ? (['f16'] as const) : []), ...(joined > 1 ? (['subgroups'] as const) : [])],
    key: `attention ${type} ${headCount} ${keyValueHeadCount} ${keySize} ${valueSize} ${window} ${softCap} ${sinks} ${shape.shared} ${joined} ${halves} ${banks} ${split}`,
    bindings: [
      arena,
      step,
      ...(split ? [partials] : []),
      ...(sinks ? [reads('sinks', 'f32')] : []),
      ...banksOf(banks, 'read'),
    ],
    params: ['layer', 'x', 'out', 'scale', 'window', 'cap', 'splits'],
    body: `
${bankAccess(banks, false)}
${pageReader}
${cacheReaders(shape, halves)}
${softCap ? hyperbolicTangent : ''}
var<workgroup> queries: array<vec4<f32>, ${heads * keyQuads}>;
var<workgroup> scores: array<f32, ${heads * 64}>;
${joined > 1 ? `var<workgroup> tops: array<f32, ${heads * tops}>;` : ''}
var<workgroup> pages: array<u32, 64>;
var<workgroup> rows: array<u32, 64>;
var<workgroup> sums: array<vec4<f32>, 64>;
${entry(`
  let t = wid.y;
  let group = wid.x / ${tiles}u;
  let firstHead = group * ${group}u + wid.x % ${tiles}u * ${heads}u;
  let headEnd = (group + 1u) * ${group}u;
  let at = step[4] + t * 8u;
  let visible = step[at + 3u];
  let low = step[at + 4u];
  let high = step[at + 5u];
  let sequence = step[at + 6u];
  let committed = step[step[6] + sequence * 4u + 2u];
  let seen = visible + countOneBits(low) + countOneBits(high);
  let begin = ${window ? 'select(0u, seen - p.window, seen > p.window)' : '0u'};
  let slots = visible + select(0u, 64u, (low | high) != 0u);
  let first = min(begin, visible);
${
  split
    ? `let stretch = (slots - first + p.splits * 64u - 1u) / (p.splits * 64u) * 64u;
  let begins = first + wid.z * stretch;
  let to = min(begins + stretch, slots);`
    : 'let begins = first;\nlet to = slots;'
}
for (var i = lid; i < ${heads * keyQuads}u; i += 64u) {
  let head = min(firstHead + i / ${keyQuads}u, headEnd - 1u);
  queries[i] = arena[p.x + (t * ${headCount}u + head) * ${keyQuads}u + i % ${keyQuads}u] * bitcast<f32>(p.scale);
}
  let share = lid / ${Math.min(valueQuads, 64)}u;
  let quad = lid % ${Math.min(valueQuads, 64)}u;
${eachQuad((head, quad) => `var sum${head}q${quad} = vec4<f32>(0.0);`)}
${each((head) =>
  sinks
    ? `let isFirst${head} = ${split ? 'wid.z == 0u' : 'true'};
  var largest${head} = select(-3.0e38, sinks[min(firstHead + ${head}u, headEnd - 1u)], isFirst${head});
  var total${head} = select(0.0, 1.0, share == 0u && isFirst${head});`
    : `var largest${head} = -3.0e38;\nvar total${head} = 0.0;`,
)}
for (var chunk = begins; chunk < to; chunk += 64u) {
  workgroupBarrier();
  let slot = chunk + lid;
  var cacheRow = slot;
  var isSeen = slot < to && slot >= begin;
  if (slot >= visible) {
    let bit = (slot - visible) & 63u;
    let word = select(low, high, bit >= 32u);
    let below = select(countOneBits(low & ((1u << (bit & 31u)) - 1u)),
      countOneBits(low) + countOneBits(high & ((1u << (bit & 31u)) - 1u)), bit >= 32u);
    isSeen = slot < to && ((word >> (bit & 31u)) & 1u) != 0u && visible + below >= begin;
    cacheRow = committed + bit;
  }
  ${each((head) => `var score${head} = -3.0e38;`)}
  if (isSeen) {
    let page = pageOf(sequence, cacheRow);
    pages[lid] = page;
    rows[lid] = cacheRow;
    ${each((head) => `var dot${head} = 0.0;`)}
    for (var i = 0u; i < ${keyQuads}u; i++) {
      let key = four_key(page, cacheRow, group * ${keySize}u + i * 4u);
      ${each((head) => `dot${head} += dot(queries[${head * keyQuads}u + i], key);`)}
    }
    ${each((head) => `{ var score = dot${head}; ${cap} score${head} = score; }`)}
  } else {
    rows[lid] = 0xffffffffu;
  }
  ${
    joined > 1
      ? `${each((head) => `var top${head} = score${head};\n${acrossSubgroup(`top${head}`, joined, larger)}`)}
  if (lid % ${joined}u == 0u) {
    ${each((head) => `tops[${head * tops}u + lid / ${joined}u] = top${head};`)}
  }`
      : each((head) => `scores[${head * 64}u + lid] = score${head};`)
  }
  workgroupBarrier();
  ${each(
    (head) => `
  var most${head} = largest${head};
  for (var i = 0u; i < ${tops}u; i++) { most${head} = max(most${head}, ${joined > 1 ? 'tops' : 'scores'}[${head * tops}u + i]); }
  let fade${head} = exp(largest${head} - most${head});
  largest${head} = most${head};
  total${head} *= fade${head};
  ${times(quadsEach, (quad) => `sum${head}q${quad} *= fade${head};`)}`,
  )}
  ${joined > 1 ? '' : 'workgroupBarrier();'}
  ${each((head) => `scores[${head * 64}u + lid] = select(0.0, exp(score${head} - most${head}), isSeen);`)}
  workgroupBarrier();
  if (share < ${shares}u) {
    for (var i = share; i < 64u; i += ${shares}u) {
      let row = rows[i];
      if (row == 0xffffffffu) { continue; }
      ${each((head) => `let weight${head} = scores[${head * 64}u + i];\ntotal${head} += weight${head};`)}
      ${times(
        quadsEach,
        (quad) => `
      if (quad + ${quad * 64}u < ${valueQuads}u) {
        let value = four_value(pages[i], row, group * ${valueSize}u + (quad + ${quad * 64}u) * 4u);
        ${each((head) => `sum${head}q${quad} += weight${head} * value;`)}
      }`,
      )}
    }
  }
}
${each(
  (head) => `
{
${shares > 1 ? sharedSum(`vec4<f32>(total${head})`, 'total', shares, valueQuads) : `let total = vec4<f32>(total${head});`}
${times(quadsEach, (quad) =>
  shares > 1
    ? sharedSum(`sum${head}q${quad}`, `sum${quad}`, shares, valueQuads)
    : `let sum${quad} = sum${head}q${quad};`,
)}
if (share == 0u && firstHead + ${head}u < headEnd) {
${times(quadsEach, (quad) => {
  const inside = quadsEach > 1 ? `if (quad + ${quad * 64}u < ${valueQuads}u) ` : '';
  return split
    ? `${inside}{ partials[part(t, firstHead + ${head}u, wid.z) + quad + ${quad * 64}u] = sum${quad}; }`
    : `${inside}{ arena[p.out + (t * ${headCount}u + firstHead + ${head}u) * ${valueQuads}u + quad + ${quad * 64}u] = sum${quad} / total.x; }`;
})}
${split ? `if (quad == 0u) { partials[part(t, firstHead + ${head}u, wid.z) + ${valueQuads}u] = vec4<f32>(largest${head}, total.x, 0.0, 0.0); }` : ''}
}
}`,
)}`)}
${split ? `fn part(t: u32, head: u32, stretch: u32) -> u32 { return ((t * ${headCount}u + head) * p.splits + stretch) * ${part}u; }` : ''}`,
  };
}

const larger = (own: string, other: string): string => `max(${own}, ${other})`;

/** Adds what the shares of a quad have. */
function sharedSum(value: string, name: string, shares: number, valueQuads: number): string {
  return `workgroupBarrier();
sums[lid] = ${value};
workgroupBarrier();
  var ${name} = vec4<f32>(0.0);
for (var other = 0u; other < ${shares}u; other++) { ${name} += sums[other * ${valueQuads}u + quad]; }`;
}

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
