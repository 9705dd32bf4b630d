/** Kernels on single rows: embedding, norm, sums, gates, selection, arg-max. */
import { blockValuesOf, type WeightLayout } from '../weight-layout.ts';
import { arena, arenaValue, entry, type KernelText, reads, step, threadNumber } from './kernel.ts';
import { blockFunctions, exactHalves, exactQuad, floatQuad, levelReader, wordReader } from './weights.ts';

/** One thread per row and block; a matrix in several parts is read by one launch for each, which leaves other rows alone. */
export function embedKernel(layout: WeightLayout): KernelText {
  const quads = blockValuesOf(layout) / 4;
  const values =
    layout.kind === 'float'
      ? `arena[at] = ${floatQuad(layout, 'w0', 'index')};`
      : `let factor = bitcast<f32>(word_w0(p.w0factors + row));
let scales = scales_w0(index);
for (var quad = 0u; quad < 8u; quad++) { arena[at + quad] = factor * (${exactQuad(layout, 'w0', 'index', 'quad', 'scales')}); }`;
  return {
    key: `embed ${layout.name}`,
    bindings: [arena, reads('w0', 'vec4<u32>'), step],
    params: ['rows', 'k4', 'firstRow', 'rowCount', 'out', 'w0plane0', 'w0plane1', 'w0scales', 'w0factors'],
    body: [
      wordReader('w0'),
      layout.name === 'f16' ? exactHalves : '',
      levelReader([layout]),
      layout.kind === 'block' ? blockFunctions(layout, 'w0') : '',
      entry(`
let blocks = p.k4 / ${quads}u;
let thread = ${threadNumber};
let t = thread / blocks;
if (t >= p.rows) { return; }
let token = step[step[4] + t * 8u];
if (token < p.firstRow || token - p.firstRow >= p.rowCount) { return; }
let row = token - p.firstRow;
let block = thread % blocks;
let index = row * blocks + block;
let at = p.out + t * p.k4 + block * ${quads}u;
${values}`),
    ].join('\n'),
  };
}

/** One thread per value, for tables that are kept plain. */
export const plainEmbedKernel: KernelText = {
  key: 'embed plain',
  bindings: [arena, reads('table', 'f32'), step],
  params: ['rows', 'width', 'firstRow', 'rowCount', 'out'],
  body: entry(`
let thread = ${threadNumber};
let t = thread / p.width;
if (t >= p.rows) { return; }
let token = step[step[4] + t * 8u];
if (token < p.firstRow || token - p.firstRow >= p.rowCount) { return; }
${arenaValue('p.out + thread')} = table[(token - p.firstRow) * p.width + thread % p.width];`),
};

/** A workgroup per row: 64 sums of squares, then every thread adds them all up. */
export const normKernel: KernelText = {
  key: 'rms-norm',
  bindings: [arena, reads('gain', 'f32')],
  params: ['width', 'x', 'out', 'epsilon', 'rows'],
  body: `
var<workgroup> squares: array<f32, 64>;
${entry(`
let row = wid.y * groups.x + wid.x;
if (row >= p.rows) { return; }
var sum = 0.0;
for (var i = lid; i < p.width; i += 64u) {
  let x = ${arenaValue('p.x + row * p.width + i')};
  sum += x * x;
}
squares[lid] = sum;
workgroupBarrier();
var total = 0.0;
for (var i = 0u; i < 64u; i++) { total += squares[i]; }
let root = inverseSqrt(total / f32(p.width) + bitcast<f32>(p.epsilon));
for (var i = lid; i < p.width; i += 64u) {
  let x = ${arenaValue('p.x + row * p.width + i')};
  ${arenaValue('p.out + row * p.width + i')} = x * root * gain[i];
}`)}`,
};

/** One thread per value: `a` and `b` are those of the operands. */
function pairwiseKernel(key: string, result: string): KernelText {
  return {
    key,
    bindings: [arena],
    params: ['count', 'left', 'right', 'out'],
    body: entry(`
let i = ${threadNumber};
if (i >= p.count) { return; }
let a = ${arenaValue('p.left + i')};
let b = ${arenaValue('p.right + i')};
${arenaValue('p.out + i')} = ${result};`),
  };
}

export const addKernel = pairwiseKernel('add', 'a + b');
export const gatedKernel = pairwiseKernel('gated', 'a / (1.0 + exp(min(-a, 80.0))) * b');

/** One thread per value. */
export const selectKernel: KernelText = {
  key: 'select-rows',
  bindings: [arena, step],
  params: ['count', 'width', 'x', 'out'],
  body: entry(`
let i = ${threadNumber};
if (i >= p.count) { return; }
let row = step[step[5] + i / p.width];
${arenaValue('p.out + i')} = ${arenaValue('p.x + row * p.width + i % p.width')};`),
};

/** A workgroup per row; every thread finds the first largest of its share, and one of them the first largest of those. */
export const argmaxKernel: KernelText = {
  key: 'argmax',
  bindings: [arena],
  params: ['width', 'x', 'out', 'rows'],
  body: `
var<workgroup> values: array<f32, 64>;
var<workgroup> places: array<u32, 64>;
${entry(`
let row = wid.y * groups.x + wid.x;
if (row >= p.rows) { return; }
var best = -3.4028234e38;
var place = 0u;
var found = false;
for (var i = lid; i < p.width; i += 64u) {
  let x = ${arenaValue('p.x + row * p.width + i')};
  if (!found || x > best) { best = x; place = i; found = true; }
}
values[lid] = best;
places[lid] = select(p.width, place, found);
workgroupBarrier();
if (lid != 0u) { return; }
for (var other = 1u; other < 64u; other++) {
  let x = values[other];
  let at = places[other];
  if (at < p.width && (x > best || (x == best && at < place))) { best = x; place = at; }
}
${arenaValue('p.out + row * 2u')} = f32(place);
${arenaValue('p.out + row * 2u + 1u')} = best;`)}`,
};
