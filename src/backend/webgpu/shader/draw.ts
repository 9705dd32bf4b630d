/**
 * Kernels that draw a token from one row of logits, by the rule of the host's sampler: penalties, top-k, top-p, min-p,
 * temperature, and the cumulative distribution in the order of ids. The row is cut in stripes, one for each workgroup.
 *
 * What is kept is found by its smallest logit, eight bits of the sortable key at a time: each launch makes a histogram of
 * the next digit, of ids (top-k) or of weights (top-p), and the launch behind it finds the bin in which the wanted measure
 * is reached. Weights are whole numbers (`draw-numbers.ts`), so sums are the same in any order.
 *
 * The machine is sure of a token where the drawn number is farther from the bounds of its interval than everything comes
 * to that may be different in exact arithmetic: the slack.
 */
import { drawBlockLayout } from '../../draw-block.ts';
import { limbBits } from './draw-numbers.ts';
import {
  arena,
  bins,
  changedArena,
  changedStep,
  common,
  conclusion,
  type DrawGrid,
  drawnId,
  drawWord,
  partial,
  partialWords,
  scratch,
  scratchAt,
  shared,
  state,
  stateWords,
  step,
  unit,
} from './draw-parts.ts';
import { entry, type KernelText } from './kernel.ts';

const { drawnWords, headerWords, entryWords } = drawBlockLayout;

/** Applies bias and penalties, and leaves a bound on the error of what it wrote. One workgroup. */
export function adjustKernel(grid: DrawGrid): KernelText {
  return {
    key: `draw adjust ${grid.threads} ${grid.groups}`,
    bindings: [changedArena, step, scratch],
    params: common,
    body: `${shared(grid)}
var<workgroup> slacks: array<f32, ${grid.threads}>;

/** Returns what the result may be off. */
fn adjust(id: u32, count: u32, bias: f32) -> f32 {
  let bits = arena[p.x + id];
  if ((bits & 0x7fffffffu) >= 0x7f800000u) { return 0.0; }
  if (bitcast<u32>(bias) == banned) {
    arena[p.x + id] = banned;
    return 0.0;
  }
  let logit = bitcast<f32>(bits);
  var result = logit + bias;
  var size = abs(logit) + abs(bias);
  if (count > 0u) {
    let repetition = bitcast<f32>(${drawWord(13)});
    let frequency = f32(count) * bitcast<f32>(${drawWord(14)});
    let presence = bitcast<f32>(${drawWord(15)});
    result = select(result * repetition, result / repetition, result > 0.0) - frequency - presence;
    size = size * max(repetition, 1.0 / repetition) + abs(frequency) + abs(presence);
  }
  arena[p.x + id] = bitcast<u32>(result);
  return size * 0x1p-20f;
}

/** How many of the first so many tokens to look back on are this one. */
fn seenLately(id: u32, tokens: u32) -> u32 {
  var count = 0u;
  for (var token = 0u; token < tokens; token++) {
    if (${drawnId(drawWord('3u + token'))} == id) { count++; }
  }
  return count;
}

fn isEntry(id: u32, entries: u32) -> bool {
  var low = 0u;
  var high = entries;
  while (low < high) {
    let middle = (low + high) / 2u;
    if (${drawWord(`${headerWords}u + middle * ${entryWords}u`)} < id) { low = middle + 1u; } else { high = middle; }
  }
  return low < entries && ${drawWord(`${headerWords}u + low * ${entryWords}u`)} == id;
}
${entry(
  `
  let entries = ${drawWord(1)};
  let unread = ${drawWord(2)};
  var slack = 0.0;
for (var i = lid; i < entries; i += threads) {
  let at = step[11] + ${headerWords}u + i * ${entryWords}u;
  let id = step[at];
  slack = max(slack, adjust(id, step[at + 1u] + seenLately(id, unread), bitcast<f32>(step[at + 2u])));
}
if (lid < unread) {
  let id = ${drawnId(drawWord('3u + lid'))};
  if (seenLately(id, lid) == 0u && !isEntry(id, entries)) {
    slack = max(slack, adjust(id, seenLately(id, unread), 0.0));
  }
}
slacks[lid] = slack;
for (var half = threads / 2u; half > 0u; half /= 2u) {
  workgroupBarrier();
  if (lid < half) { slacks[lid] = max(slacks[lid], slacks[lid + half]); }
}
if (lid == 0u) { scratch[${scratchAt(grid).adjusted}] = bitcast<u32>(slacks[0]); }`,
  grid.threads,
)}`,
  };
}

/** The greatest logit of each stripe, the lowest id among equals, and the second greatest. */
export function greatestKernel(grid: DrawGrid): KernelText {
  return {
    key: `draw greatest ${grid.threads} ${grid.groups}`,
    bindings: [arena, step, scratch],
    params: common,
    body: `${shared(grid)}
var<workgroup> found: array<vec4<u32>, ${grid.threads}>;
${entry(
  `
  let end = min((wid.x + 1u) * p.stripe, p.width);
  // Key, id, whether one is no number, second key.
  var best = vec4<u32>(0u);
for (var i = wid.x * p.stripe + lid; i < end; i += threads) {
  let bits = logitBits(i);
  let key = keyOf(bits);
  if (isBad(bits)) { best.z = 1u; }
  if (key > best.x) {
    best.w = best.x;
    best.x = key;
    best.y = i;
  } else {
    best.w = max(best.w, key);
  }
}
found[lid] = best;
for (var half = threads / 2u; half > 0u; half /= 2u) {
  workgroupBarrier();
  if (lid < half) {
    let a = found[lid];
    let b = found[lid + half];
    let isSecond = b.x > a.x || (b.x == a.x && b.y < a.y);
    let merged = select(vec4<u32>(a.xy, 0u, max(a.w, b.x)), vec4<u32>(b.xy, 0u, max(b.w, a.x)), isSecond);
    found[lid] = vec4<u32>(merged.xy, a.z | b.z, merged.w);
  }
}
if (lid < 4u) { scratch[wid.x * ${partialWords}u + lid] = found[0][lid]; }`,
  grid.threads,
)}`,
  };
}

const answer = `
fn answer(id: u32, isSure: bool) {
  let at = step[10] + ${drawnWords}u * ${drawWord(0)};
  step[at] = id;
  step[at + 1u] = select(1u, 0u, isSure);
}`;

/** The greatest of all: one thread. */
export function firstKernel(grid: DrawGrid): KernelText {
  return {
    key: `draw first ${grid.threads} ${grid.groups}`,
    bindings: [arena, changedStep, scratch],
    params: common,
    body: `${shared(grid)}
${answer}
${entry(
  `
  var key = 0u;
  var id = 0u;
  var second = 0u;
  var bad = 0u;
for (var group = 0u; group < groupCount; group++) {
  let other = partialAt(group, ${partial.key}u);
  bad |= partialAt(group, ${partial.bad}u);
  second = max(max(second, min(key, other)), partialAt(group, ${partial.second}u));
  if (other > key) {
    key = other;
    id = partialAt(group, ${partial.id}u);
  }
}
  let isClear = p.adjusted == 0u || key == 0u ||
    bitcast<f32>(bitsOf(key)) - bitcast<f32>(bitsOf(max(second, keyOf(0xff7fffffu)))) > 2.0 * bitcast<f32>(scratch[${scratchAt(grid).adjusted}]);
answer(id, bad == 0u && key > keyOf(banned) && isClear);`,
  1,
)}`,
  };
}

/** A histogram of the next eight bits of the keys that are still in question: of ids, or of weights. */
export function selectKernel(grid: DrawGrid): KernelText {
  const at = scratchAt(grid);
  return {
    key: `draw select ${grid.threads} ${grid.groups}`,
    bindings: [arena, step, scratch],
    params: [...common, 'launch', 'before', 'digitBefore', 'measure', 'digit'],
    body: `${shared(grid)}
${conclusion(grid)}
var<workgroup> limbs: array<atomic<u32>, ${bins * 3}>;
${entry(
  `
for (var bin = lid; bin < ${bins * 3}u; bin += threads) { atomicStore(&limbs[bin], 0u); }
conclude(wid.x, lid);
workgroupBarrier();
  let greatest = greatestBits();
  let threshold = state[${state.threshold}];
  let prefix = state[${state.prefix}];
  let end = min((wid.x + 1u) * p.stripe, p.width);
  let low = 24u - 8u * p.digit;
for (var i = wid.x * p.stripe + lid; i < end; i += threads) {
  let bits = logitBits(i);
  let key = keyOf(bits);
  if (bits == banned || key < threshold) { continue; }
  if (p.digit > 0u && (key >> (low + 8u)) != prefix) { continue; }
  let bin = (key >> low) & ${bins - 1}u;
  if (p.measure == 1u) {
    atomicAdd(&limbs[bin], 1u);
  } else {
    let weight = weightAt(distance(greatest, bits), ${unit});
    atomicAdd(&limbs[bin], weight.x & ${2 ** limbBits - 1}u);
    atomicAdd(&limbs[${bins}u + bin], (weight.x >> ${limbBits}u) & ${2 ** limbBits - 1}u);
    atomicAdd(&limbs[${2 * bins}u + bin], (weight.x >> ${2 * limbBits}u) | (weight.y << ${32 - 2 * limbBits}u));
  }
}
workgroupBarrier();
  let into = ${at.histograms}u + (p.launch & 1u) * ${grid.groups * bins * 2}u + wid.x * ${bins * 2}u;
for (var bin = lid; bin < ${bins}u; bin += threads) {
  let high = atomicLoad(&limbs[${2 * bins}u + bin]);
  let middle = atomicLoad(&limbs[${bins}u + bin]);
  let upper = vec2<u32>(high << ${2 * limbBits}u, high >> ${32 - 2 * limbBits}u);
  let sum = add64(upper, vec2<u32>(middle << ${limbBits}u, middle >> ${32 - limbBits}u));
  let all = add64(sum, vec2<u32>(atomicLoad(&limbs[bin]), 0u));
  scratch[into + bin * 2u] = all.x;
  scratch[into + bin * 2u + 1u] = all.y;
}`,
  grid.threads,
)}`,
  };
}

const kept = `
fn isKept(bits: u32, away: u32, threshold: u32) -> bool {
  return bits != banned && keyOf(bits) >= threshold && away <= ${drawWord(12)};
}

fn steepness() -> vec2<u32> { return vec2<u32>(${drawWord(8)}, ${drawWord(9)}); }`;

/** Sums of each stripe: of the weights that are kept, and of those that rounding may have put on the wrong side. */
export function weighKernel(grid: DrawGrid): KernelText {
  return {
    key: `draw weigh ${grid.threads} ${grid.groups}`,
    bindings: [arena, step, scratch],
    params: [...common, 'launch', 'before', 'digitBefore'],
    body: `${shared(grid)}
${conclusion(grid)}
${kept}
/** Of a thread: sum, sum at the bound of min-p, sum at the bound of top-k. */
var<workgroup> kept: array<vec2<u32>, ${grid.threads}>;
var<workgroup> edges: array<vec2<u32>, ${grid.threads}>;
var<workgroup> ties: array<vec2<u32>, ${grid.threads}>;
var<workgroup> tied: array<u32, ${grid.threads}>;

fn isNear(a: u32, b: u32, reach: u32) -> bool { return max(a, b) - min(a, b) <= reach; }
${entry(
  `
conclude(wid.x, lid);
  let greatest = greatestBits();
  let threshold = state[${state.threshold}];
  let topK = state[${state.topK}];
  let lastAway = distance(greatest, bitsOf(topK));
  let reach = 2u * logitSlack();
  let end = min((wid.x + 1u) * p.stripe, p.width);
  var sum = vec2<u32>(0u);
  var edge = vec2<u32>(0u);
  var tie = vec2<u32>(0u);
  var count = 0u;
for (var i = wid.x * p.stripe + lid; i < end; i += threads) {
  let bits = logitBits(i);
  if (bits == banned) { continue; }
  let away = distance(greatest, bits);
  let weight = weightAt(away, steepness());
  if (isKept(bits, away, threshold)) { sum = add64(sum, weight); }
  if (bits != greatest && isNear(away, ${drawWord(12)}, reach)) { edge = add64(edge, weight); }
  if (p.adjusted != 0u && topK != 0u && isNear(away, lastAway, reach)) {
    tie = add64(tie, weight);
    count++;
  }
}
kept[lid] = sum;
edges[lid] = edge;
ties[lid] = tie;
tied[lid] = count;
for (var half = threads / 2u; half > 0u; half /= 2u) {
  workgroupBarrier();
  if (lid < half) {
    kept[lid] = add64(kept[lid], kept[lid + half]);
    edges[lid] = add64(edges[lid], edges[lid + half]);
    ties[lid] = add64(ties[lid], ties[lid + half]);
    tied[lid] += tied[lid + half];
  }
}
if (lid == 0u) {
  let at = wid.x * ${partialWords}u;
  scratch[at + ${partial.sum}u] = kept[0].x;
  scratch[at + ${partial.sum + 1}u] = kept[0].y;
  scratch[at + ${partial.edge}u] = edges[0].x;
  scratch[at + ${partial.edge + 1}u] = edges[0].y;
  scratch[at + ${partial.tied}u] = tied[0];
  scratch[at + ${partial.tiedSum}u] = ties[0].x;
  scratch[at + ${partial.tiedSum + 1}u] = ties[0].y;
}`,
  grid.threads,
)}`,
  };
}

/** The id at the drawn number of the cumulative distribution: the stripe, the thread's part of it, the id. One workgroup. */
export function pickKernel(grid: DrawGrid): KernelText {
  const at = scratchAt(grid);
  return {
    key: `draw pick ${grid.threads} ${grid.groups}`,
    bindings: [arena, changedStep, scratch],
    params: [...common, 'launch', 'hasTopP'],
    body: `${shared(grid)}
${kept}
${answer}
var<workgroup> parts: array<vec2<u32>, ${grid.threads}>;

fn stateAt(word: u32) -> u32 { return scratch[${at.states}u + p.launch * ${stateWords}u + word]; }
${entry(
  `
  let greatest = greatestBits();
  let threshold = stateAt(${state.threshold}u);
  var total = vec2<u32>(0u);
  var edge = vec2<u32>(stateAt(${state.slack}u), stateAt(${state.slack + 1}u));
  var ties = vec2<u32>(0u);
  var tied = 0u;
  var unsure = stateAt(${state.unsure}u);
for (var group = 0u; group < groupCount; group++) {
  total = add64(total, partial64(group, ${partial.sum}u));
  edge = add64(edge, partial64(group, ${partial.edge}u));
  ties = add64(ties, partial64(group, ${partial.tiedSum}u));
  tied += partialAt(group, ${partial.tied}u);
  unsure |= partialAt(group, ${partial.bad}u);
}
if (tied > 1u) {
  edge = add64(edge, ties);
  unsure |= p.hasTopP;
}
  // Beyond these the units of logits do not reach.
  let height = fixed(greatest);
if (height < -(256 << 22) || height > 511 << 22) { unsure = 1u; }
  let wanted = share64(total, ${drawWord(7)});
  var stripe = 0u;
  var before = vec2<u32>(0u);
for (; stripe < groupCount; stripe++) {
  let after = add64(before, partial64(stripe, ${partial.sum}u));
  if (less64(wanted, after)) { break; }
  before = after;
}
  let first = min(stripe * p.stripe, p.width);
  let end = min(first + p.stripe, p.width);
  let share = (p.stripe + threads - 1u) / threads;
  var sum = vec2<u32>(0u);
for (var i = first + lid * share; i < min(first + (lid + 1u) * share, end); i++) {
  let bits = logitBits(i);
  let away = distance(greatest, bits);
  if (isKept(bits, away, threshold)) { sum = add64(sum, weightAt(away, steepness())); }
}
parts[lid] = sum;
workgroupBarrier();
if (lid != 0u) { return; }
  var part = 0u;
for (; part < threads - 1u; part++) {
  let after = add64(before, parts[part]);
  if (less64(wanted, after)) { break; }
  before = after;
}
  let slack = add64(slackOf(total, steepness()), edge);
for (var i = first + part * share; i < end; i++) {
  let bits = logitBits(i);
  let away = distance(greatest, bits);
  if (!isKept(bits, away, threshold)) { continue; }
  let after = add64(before, weightAt(away, steepness()));
  if (less64(wanted, after)) {
    let isClear = less64(slack, minus64(wanted, before)) && less64(slack, minus64(after, wanted));
    answer(i, unsure == 0u && isClear);
    return;
  }
  before = after;
}
answer(0u, false);`,
  grid.threads,
)}`,
  };
}
