/** Mixtures of experts: choosing, products by the weights of the chosen, and their weighted sum. */
import { blockValuesOf, type WeightLayout } from '../weight-layout.ts';
import { arena, arenaValue, entry, type KernelText, reads, threadNumber } from './kernel.ts';
import { blockFunctions, exactHalves, exactQuad, floatQuad, levelReader, wordReader } from './weights.ts';

export interface Routing {
  readonly expertCount: number;
  readonly usedCount: number;
  readonly gating: 'softmax' | 'sigmoid' | 'softmax-of-chosen';
  readonly normalize: boolean;
}

/**
 * One thread per row. It takes the largest of what is left, the first of equals, `usedCount` times; chosen ones are told
 * from others by what was chosen before them.
 */
export function routeKernel({ expertCount, usedCount, gating, normalize }: Routing): KernelText {
  const logit = arenaValue(`p.x + row * ${expertCount}u + i`);
  const scores = {
    softmax: `exp(${logit} - most) / total`,
    sigmoid: `1.0 / (1.0 + exp(min(-${logit}, 80.0)))`,
    'softmax-of-chosen': logit,
  }[gating];
  const number = (place: string) => arenaValue(`p.out + row * ${2 * usedCount}u + ${place}`);
  const weight = (place: string) => arenaValue(`p.out + row * ${2 * usedCount}u + ${usedCount}u + ${place}`);
  return {
    key: `route ${expertCount} ${usedCount} ${gating} ${normalize}`,
    bindings: [arena, reads('bias', 'f32')],
    params: ['rows', 'x', 'out', 'biased', 'scale', 'leastSum'],
    body: entry(`
  let row = ${threadNumber};
  if (row >= p.rows) { return; }
  var most = -3.0e38;
  for (var i = 0u; i < ${expertCount}u; i++) { most = max(most, ${logit}); }
  var total = 0.0;
  for (var i = 0u; i < ${expertCount}u; i++) { total += exp(${logit} - most); }
  for (var place = 0u; place < ${usedCount}u; place++) {
    var best = 0u;
    var largest = 0.0;
    var found = false;
    for (var i = 0u; i < ${expertCount}u; i++) {
      var taken = false;
      for (var before = 0u; before < place; before++) { taken = taken || u32(${number('before')}) == i; }
      // Without a bias the order of the logits is that of the scores, and has no ties that rounding made.
      var value = ${logit};
      if (p.biased != 0u) { value = ${scores} + bias[i]; }
      if (!taken && (!found || value > largest)) { best = i; largest = value; found = true; }
    }
    let i = best;
    ${number('place')} = f32(best);
    ${weight('place')} = ${scores};
  }
  ${
    gating === 'softmax-of-chosen'
      ? `var top = -3.0e38;
  for (var place = 0u; place < ${usedCount}u; place++) { top = max(top, ${weight('place')}); }
  var powers = 0.0;
  for (var place = 0u; place < ${usedCount}u; place++) { powers += exp(${weight('place')} - top); }
  for (var place = 0u; place < ${usedCount}u; place++) { ${weight('place')} = exp(${weight('place')} - top) / powers; }`
      : ''
  }
  var sum = 0.0;
  for (var place = 0u; place < ${usedCount}u; place++) { sum += ${weight('place')}; }
  let factor = bitcast<f32>(p.scale)${normalize ? ' / max(sum, bitcast<f32>(p.leastSum))' : ''};
  for (var place = 0u; place < ${usedCount}u; place++) { ${weight('place')} = ${weight('place')} * factor; }`),
  };
}

/** One thread per value. */
export const expertSumKernel: KernelText = {
  key: 'expert-sum',
  bindings: [arena],
  params: ['count', 'width', 'used', 'x', 'routes', 'out'],
  body: entry(`
  let thread = ${threadNumber};
  if (thread >= p.count) { return; }
  let row = thread / p.width;
  let column = thread % p.width;
  var sum = 0.0;
  for (var used = 0u; used < p.used; used++) {
    let weight = ${arenaValue('p.routes + (row * 2u + 1u) * p.used + used')};
    sum += weight * ${arenaValue('p.x + (row * p.used + used) * p.width + column')};
  }
  ${arenaValue('p.out + thread')} = sum;`),
};

/**
 * A group of lanes per result: a column of what one of a row's chosen experts gives. A matrix in several parts has a launch
 * for each; results whose expert's row lies in another part are left alone.
 */
export function expertProductKernel(layout: WeightLayout, lanes: number): KernelText {
  const quads = blockValuesOf(layout) / 4;
  const block =
    layout.kind === 'float'
      ? `sum += dot(arena[input + block], ${floatQuad(layout, 'w0', '(index + block)')});`
      : `let scales = scales_w0(index + block);
    for (var quad = 0u; quad < 8u; quad++) {
      sum += dot(arena[input + block * 8u + quad], ${exactQuad(layout, 'w0', '(index + block)', 'quad', 'scales')});
    }`;
  const factor = layout.kind === 'block' ? ' * bitcast<f32>(word_w0(p.w0factors + own))' : '';
  return {
    key: `expert-product ${layout.name} ${lanes}`,
    bindings: [arena, reads('w0', 'vec4<u32>'), reads('bias', 'f32')],
    params: [
      ...['rows', 'used', 'n', 'k4', 'x', 'parts', 'routes', 'out', 'firstRow', 'rowCount', 'biased'],
      ...['w0plane0', 'w0plane1', 'w0scales', 'w0factors'],
    ],
    body: [
      wordReader('w0'),
      layout.name === 'f16' ? exactHalves : '',
      levelReader([layout]),
      layout.kind === 'block' ? blockFunctions(layout, 'w0') : '',
      lanes > 1 ? 'var<workgroup> sums: array<f32, 64>;' : '',
      entry(`
  let lane = lid % ${lanes}u;
  let result = (wid.y * groups.x + wid.x) * ${64 / lanes}u + lid / ${lanes}u;
  let slot = min(result / p.n, p.rows * p.used - 1u);
  let column = result % p.n;
  let expert = u32(${arenaValue('p.routes + slot / p.used * 2u * p.used + slot % p.used')});
  let row = expert * p.n + column;
  let isHere = result < p.rows * p.used * p.n && row >= p.firstRow && row - p.firstRow < p.rowCount;
  let own = select(0u, row - p.firstRow, isHere);
  let blocks = p.k4 / ${quads}u;
  let index = own * blocks;
  let input = p.x + (slot / p.used * p.parts + select(0u, slot % p.used, p.parts > 1u)) * p.k4;
  var sum = 0.0;
  for (var block = lane; block < blocks; block += ${lanes}u) {
    ${block}
  }
  ${
    lanes > 1
      ? `sums[lid] = sum;
  workgroupBarrier();
  if (lane != 0u) { return; }
  for (var other = 1u; other < ${lanes}u; other++) { sum += sums[lid + other]; }`
      : ''
  }
  if (isHere) { ${arenaValue('p.out + result')} = sum${factor} + select(0.0, bias[row], p.biased != 0u); }`),
    ].join('\n'),
  };
}
