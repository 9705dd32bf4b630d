/** Kernels on single rows: embedding, norm, sums, gates, selection, arg-max. */
import type { Activation, Gating } from '../../../graph.ts';
import { drawBlockLayout } from '../../draw-block.ts';
import { blockValuesOf, type WeightLayout } from '../weight-layout.ts';
import { activationText, gatingKey, gatingText, hyperbolicTangent, literal } from './activation.ts';
import {
  acrossSubgroup,
  arena,
  arenaValue,
  entry,
  type KernelText,
  reads,
  step,
  threadNumber,
} from './kernel.ts';
import { blockFunctions, exactHalves, exactQuad, floatQuad, levelReader, wordReader } from './weights.ts';

/** A row's token, or its position. */
const tokenOf = `
fn tokenOf(row: u32, field: u32) -> u32 {
  let word = step[step[4] + row * 8u + field];
  if ((word & 0x80000000u) == 0u) { return word; }
  return step[step[10] + ${drawBlockLayout.drawnWords}u * ~word];
}`;

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
    params: [
      'rows',
      'k4',
      'field',
      'firstRow',
      'rowCount',
      'out',
      'w0plane0',
      'w0plane1',
      'w0scales',
      'w0factors',
    ],
    body: [
      wordReader('w0'),
      layout.name === 'f16' ? exactHalves : '',
      levelReader([layout]),
      layout.kind === 'block' ? blockFunctions(layout, 'w0') : '',
      tokenOf,
      entry(`
  let blocks = p.k4 / ${quads}u;
  let thread = ${threadNumber};
  let t = thread / blocks;
if (t >= p.rows) { return; }
  let token = tokenOf(t, p.field);
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
  params: ['rows', 'width', 'field', 'firstRow', 'rowCount', 'out'],
  body: `${tokenOf}
${entry(`
  let thread = ${threadNumber};
  let t = thread / p.width;
if (t >= p.rows) { return; }
  let token = tokenOf(t, p.field);
if (token < p.firstRow || token - p.firstRow >= p.rowCount) { return; }
${arenaValue('p.out + thread')} = table[(token - p.firstRow) * p.width + thread % p.width];`)}`,
};

/** y = x Wᵀ (+ b), one thread per result, for matrices whose rows four does not divide. */
export const plainProductKernel: KernelText = {
  key: 'plain product',
  bindings: [arena, reads('w', 'f32'), reads('bias', 'f32')],
  params: ['rows', 'inner', 'n', 'first', 'biased', 'width', 'x', 'out'],
  body: entry(`
  let thread = ${threadNumber};
  let t = thread / p.n;
if (t >= p.rows) { return; }
  let column = thread % p.n;
  var sum = 0.0;
for (var k = 0u; k < p.inner; k++) { sum += ${arenaValue('p.x + t * p.inner + k')} * w[column * p.inner + k]; }
  let added = select(0.0, bias[p.first + column], p.biased != 0u);
${arenaValue('p.out + t * p.width + p.first + column')} = sum + added;`),
};

/**
 * A workgroup per part of a row: 64 sums of squares, or one for each `joined` threads of a subgroup, which every thread adds up. Layer norm has the mean taken away first.
 * Weight and bias hold a value for each of the row's, or for each of a part.
 */
export function normKernel(kind: 'rms-norm' | 'layer-norm', joined = 1): KernelText {
  const centred = kind === 'layer-norm';
  const x = `${arenaValue('start + i')}${centred ? ' - mean' : ''}`;
  const shares = 64 / joined;
  const sumUp = (name: string) => `
${joined > 1 ? acrossSubgroup('sum', joined) : ''}
workgroupBarrier();
if (lid % ${joined}u == 0u) { sums[lid / ${joined}u] = sum; }
workgroupBarrier();
  var ${name} = 0.0;
for (var i = 0u; i < ${shares}u; i++) { ${name} += sums[i]; }`;
  return {
    key: joined > 1 ? `${kind} joined ${joined}` : kind,
    ...(joined > 1 ? { needs: ['subgroups'] } : {}),
    bindings: [arena, reads('gain', 'f32'), reads('bias', 'f32')],
    params: ['size', 'parts', 'rows', 'x', 'out', 'epsilon', 'gains', 'biases'],
    body: `
var<workgroup> sums: array<f32, ${shares}>;
${entry(`
  let part = wid.y * groups.x + wid.x;
if (part >= p.rows * p.parts) { return; }
  let start = p.x + part * p.size;
  let within = part % p.parts * p.size;
  var sum = 0.0;
${
  centred
    ? `for (var i = lid; i < p.size; i += 64u) { sum += ${arenaValue('start + i')}; }
${sumUp('whole')}
  let mean = whole / f32(p.size);
sum = 0.0;`
    : ''
}
for (var i = lid; i < p.size; i += 64u) {
  let x = ${x};
  sum += x * x;
}
${sumUp('total')}
  let root = inverseSqrt(total / f32(p.size) + bitcast<f32>(p.epsilon));
for (var i = lid; i < p.size; i += 64u) {
  let x = ${x};
  let place = within + i;
  let added = select(0.0, bias[place % max(p.biases, 1u)], p.biases > 0u);
  ${arenaValue('p.out + part * p.size + i')} = x * root * gain[place % p.gains] + added;
}`)}`,
  };
}

/** One thread per value: `a` and `b` are those of the operands. */
function pairwiseKernel(key: string, result: string, functions = ''): KernelText {
  return {
    key,
    bindings: [arena],
    params: ['count', 'left', 'right', 'out'],
    body: `${functions}
${entry(`
  let i = ${threadNumber};
if (i >= p.count) { return; }
  let a = ${arenaValue('p.left + i')};
  let b = ${arenaValue('p.right + i')};
${arenaValue('p.out + i')} = ${result};`)}`,
  };
}

export const addKernel = pairwiseKernel('add', 'a + b');
export const gatedKernel = (gating: Gating): KernelText =>
  pairwiseKernel(`gated ${gatingKey(gating)}`, 'gateOf(a, b)', gatingText(gating));

/** One thread per value; `right` is bound to the same values and not looked at. */
export const activateKernel = (activation: Activation): KernelText =>
  pairwiseKernel(`activate ${activation}`, 'activated(a)', activationText(activation));
export const scaleKernel = (factor: number): KernelText =>
  pairwiseKernel(`scale ${factor}`, `a * ${literal(factor)}`);
export const softcapKernel = (limit: number): KernelText =>
  pairwiseKernel(
    `softcap ${limit}`,
    `${literal(limit)} * hyperbolicTangent(a * ${literal(1 / limit)})`,
    hyperbolicTangent,
  );

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
