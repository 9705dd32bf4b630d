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
import { drawBlockLayout, steepnessOf } from '../../draw-block.ts';
import { drawNumbers, limbBits } from './draw-numbers.ts';
import { type Binding, entry, type KernelText } from './kernel.ts';

/** How the row is cut. */
export interface DrawGrid {
  /** Workgroups, each of which takes a stripe, and threads of one. */
  readonly groups: number;
  readonly threads: number;
}

const bins = 256;
const partialWords = 16;
const stateWords = 12;
/** Launches that leave a state. */
const mostStates = 10;
/** Relative error of a weight besides that of its logit, as a share: 2^-21. */
const weightSlack = 2 ** 11;

const scratchAt = ({ groups }: DrawGrid) => {
  const adjusted = groups * partialWords;
  const states = adjusted + 4;
  const histograms = states + mostStates * stateWords;
  return { adjusted, states, histograms, end: histograms + 2 * groups * bins * 2 };
};

export const drawScratchBytes = (grid: DrawGrid): number => scratchAt(grid).end * 4;

const arena: Binding = { name: 'arena', element: 'u32', access: 'read' };
const changedArena: Binding = { ...arena, access: 'read_write' };
const step: Binding = { name: 'step', element: 'u32', access: 'read' };
const changedStep: Binding = { ...step, access: 'read_write' };
const scratch: Binding = { name: 'scratch', element: 'u32', access: 'read_write' };

const { drawnWords, headerWords, entryWords } = drawBlockLayout;
const drawWord = (index: number | string): string => `step[step[11] + ${index}]`;
const drawnId = (slot: string): string => `step[step[10] + ${drawnWords}u * ${slot}]`;
const one = steepnessOf(1);
const unit = `vec2<u32>(${one.mantissa}u, ${one.shift}u)`;

/** Names of the words of a partial result and of a state. */
const partial = { key: 0, id: 1, bad: 2, second: 3, sum: 4, edge: 6, tied: 8, tiedSum: 9 } as const;
const state = {
  ...{ prefix: 0, above: 1, target: 3, total: 5, threshold: 7, unsure: 8, slack: 9, topK: 11 },
} as const;

function shared(grid: DrawGrid): string {
  const at = scratchAt(grid);
  return `${drawNumbers}
const threads = ${grid.threads}u;
const groupCount = ${grid.groups}u;

fn logitBits(i: u32) -> u32 {
  let bits = arena[p.x + i];
  return select(bits, 0u, bits == 0x80000000u);
}

fn partialAt(group: u32, word: u32) -> u32 { return scratch[group * ${partialWords}u + word]; }

fn partial64(group: u32, word: u32) -> vec2<u32> {
  return vec2<u32>(partialAt(group, word), partialAt(group, word + 1u));
}

/** Bits of the greatest logit. */
fn greatestBits() -> u32 {
  var key = 0u;
  for (var group = 0u; group < groupCount; group++) { key = max(key, partialAt(group, ${partial.key}u)); }
  return bitsOf(key);
}

/** How far logits may be off, in units of 2^-22: by rounding them to that, and by what was done to them before. */
fn logitSlack() -> u32 {
  if (p.adjusted == 0u) { return 1u; }
  return 1u + u32(min(bitcast<f32>(scratch[${at.adjusted}]), 256.0) * 0x1p22f);
}

/** What a sum of weights may be off. */
fn slackOf(total: vec2<u32>, steepness: vec2<u32>) -> vec2<u32> {
  let y = exponentOf(logitSlack(), steepness);
  let share = select(((y + 1u) << 8u) + ${weightSlack}u, 0xffffffffu, y >= 0x800000u);
  return add64(share64(total, share), vec2<u32>(p.width, 0u));
}
`;
}

/** Takes the result of the launch before: the bin of its histogram in which the wanted measure is reached. */
function conclusion(grid: DrawGrid): string {
  const at = scratchAt(grid);
  return `
var<workgroup> sums: array<vec2<u32>, ${bins}>;
var<workgroup> state: array<u32, ${stateWords}>;

fn state64(word: u32) -> vec2<u32> { return vec2<u32>(state[word], state[word + 1u]); }

fn keep64(word: u32, value: vec2<u32>) {
  state[word] = value.x;
  state[word + 1u] = value.y;
}

/** Those of top-p are not certain where the wanted share is reached within the slack of a bound. */
fn endTopP(above: vec2<u32>, wanted: vec2<u32>, held: vec2<u32>) {
  let least = weightAt(distance(greatestBits(), bitsOf(state[${state.prefix}])), ${unit});
  let reached = add64(above, held);
  // All ids of the least logit have one weight; where not all of them are kept, the lowest are.
  if (held.x != least.x || held.y != least.y) {
    if (less64(wanted, add64(minus64(reached, least), vec2<u32>(1u, 0u)))) { state[${state.unsure}] = 1u; }
  }
  let slack = slackOf(state64(${state.total}u), ${unit});
  if (less64(slack, minus64(wanted, above)) && less64(slack, minus64(reached, wanted))) { return; }
  // Weights of less than the least logit are the larger for a temperature above 1.
  let isHot = ${drawWord(9)} > ${one.shift}u || (${drawWord(9)} == ${one.shift}u && ${drawWord(8)} < ${one.mantissa}u);
  if (isHot) { state[${state.unsure}] = 1u; }
  keep64(${state.slack}u, add64(add64(slack, slack), least));
}

fn descend() {
  let before = ${at.states}u + (p.launch - 1u) * ${stateWords}u;
  for (var word = 0u; word < ${stateWords}u; word++) { state[word] = scratch[before + word]; }
  if (p.digitBefore == 0u) {
    var total = vec2<u32>(0u, 0u);
    for (var bin = 0u; bin < ${bins}u; bin++) { total = add64(total, sums[bin]); }
    keep64(${state.total}u, total);
    keep64(${state.above}u, vec2<u32>(0u, 0u));
    state[${state.prefix}] = 0u;
    let part = share64(total, ${drawWord(11)});
    let ofWeights = select(part, vec2<u32>(1u, 0u), part.x == 0u && part.y == 0u);
    keep64(${state.target}u, select(ofWeights, vec2<u32>(${drawWord(10)}, 0u), p.before == 1u));
  }
  let wanted = state64(${state.target}u);
  var above = state64(${state.above}u);
  var bin = ${bins - 1}u;
  loop {
    let reached = add64(above, sums[bin]);
    if (bin == 0u || !less64(reached, wanted)) { break; }
    above = reached;
    bin--;
  }
  state[${state.prefix}] = (state[${state.prefix}] << 8u) | bin;
  keep64(${state.above}u, above);
  if (p.digitBefore < 3u) { return; }
  state[${state.threshold}] = state[${state.prefix}];
  if (p.before == 1u) {
    state[${state.topK}] = state[${state.prefix}];
    if (less64(wanted, add64(above, sums[bin]))) { state[${state.unsure}] = 1u; }
  } else {
    endTopP(above, wanted, sums[bin]);
  }
}

fn conclude(group: u32, lid: u32) {
  if (lid == 0u) {
    for (var word = 0u; word < ${stateWords}u; word++) { state[word] = 0u; }
  }
  if (p.before != 0u) {
    let source = ${at.histograms}u + ((p.launch + 1u) & 1u) * ${grid.groups * bins * 2}u;
    for (var bin = lid; bin < ${bins}u; bin += threads) {
      var sum = vec2<u32>(0u, 0u);
      for (var other = 0u; other < groupCount; other++) {
        let place = source + (other * ${bins}u + bin) * 2u;
        sum = add64(sum, vec2<u32>(scratch[place], scratch[place + 1u]));
      }
      sums[bin] = sum;
    }
    workgroupBarrier();
    if (lid == 0u) { descend(); }
  }
  workgroupBarrier();
  if (lid == 0u && group == 0u) {
    for (var word = 0u; word < ${stateWords}u; word++) {
      scratch[${at.states}u + p.launch * ${stateWords}u + word] = state[word];
    }
  }
}`;
}

const common = ['x', 'width', 'stripe', 'adjusted'] as const;

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
