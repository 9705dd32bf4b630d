/** What the kernels of a draw share: the cut of the row, the room for their results, and how these are concluded from. */
import { drawBlockLayout, steepnessOf } from '../../draw-block.ts';
import { drawNumbers } from './draw-numbers.ts';
import type { Binding } from './kernel.ts';

/** How the row is cut. */
export interface DrawGrid {
  /** Workgroups, each of which takes a stripe, and threads of one. */
  readonly groups: number;
  readonly threads: number;
}

export const bins = 256;
export const partialWords = 16;
export const stateWords = 12;
/** Launches that leave a state. */
const mostStates = 10;
/** Relative error of a weight besides that of its logit, as a share: 2^-21. */
const weightSlack = 2 ** 11;

export const scratchAt = ({ groups }: DrawGrid) => {
  const adjusted = groups * partialWords;
  const states = adjusted + 4;
  const histograms = states + mostStates * stateWords;
  return { adjusted, states, histograms, end: histograms + 2 * groups * bins * 2 };
};

export const drawScratchBytes = (grid: DrawGrid): number => scratchAt(grid).end * 4;

export const arena: Binding = { name: 'arena', element: 'u32', access: 'read' };
export const changedArena: Binding = { ...arena, access: 'read_write' };
export const step: Binding = { name: 'step', element: 'u32', access: 'read' };
export const changedStep: Binding = { ...step, access: 'read_write' };
export const scratch: Binding = { name: 'scratch', element: 'u32', access: 'read_write' };

const { drawnWords } = drawBlockLayout;
export const drawWord = (index: number | string): string => `step[step[11] + ${index}]`;
export const drawnId = (slot: string): string => `step[step[10] + ${drawnWords}u * ${slot}]`;
const one = steepnessOf(1);
export const unit = `vec2<u32>(${one.mantissa}u, ${one.shift}u)`;

/** Names of the words of a partial result and of a state. */
export const partial = { key: 0, id: 1, bad: 2, second: 3, sum: 4, edge: 6, tied: 8, tiedSum: 9 } as const;
export const state = {
  ...{ prefix: 0, above: 1, target: 3, total: 5, threshold: 7, unsure: 8, slack: 9, topK: 11 },
} as const;

export function shared(grid: DrawGrid): string {
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
export function conclusion(grid: DrawGrid): string {
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

export const common = ['x', 'width', 'stripe', 'adjusted'] as const;
