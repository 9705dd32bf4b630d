/** Cases for the kernels of a draw: a row with ties, a negative zero and a banned id; what is counted must be exact. */
import { type AdjustedLogit, DrawBlock, drawBlockLayout } from '../../draw-block.ts';
import { StepBlock } from '../../step-block.ts';
import { bins, type DrawGrid, partialWords, scratchAt, state, stateWords } from '../shader/draw-parts.ts';
import { floatBits, type KernelCheck } from '../shader/kernel.ts';
import { noise } from './noise.ts';

const rule = {
  ...{ temperature: 0.7, topK: 5, topP: 0.5, minP: Math.exp(-3) },
  ...{ repetitionPenalty: 1.5, frequencyPenalty: 0.25, presencePenalty: 0.5 },
};
const slot = 3;
const banned = 0xff800000;
/** Of a weight of 1. */
const one = 2 ** 39;

interface DrawCase {
  readonly width: number;
  readonly stripe: number;
  readonly row: Float32Array<ArrayBuffer>;
  readonly bits: readonly number[];
  readonly keys: readonly number[];
}

/** Values are multiples of 1/64, so that distances are whole. */
function drawCase({ groups, threads }: DrawGrid): DrawCase {
  const stripe = 2 * threads + 3;
  const width = groups * stripe - 7;
  const row = noise(width, 1, 4).map((value) => Math.round(value * 64) / 64);
  row.set([-0, 0, Number.NEGATIVE_INFINITY], 3);
  row[11] = 6;
  row[40] = 6;
  row[20] = 3;
  return { width, stripe, ...wordsOf(row) };
}

function wordsOf(row: Float32Array<ArrayBuffer>): Pick<DrawCase, 'row' | 'bits' | 'keys'> {
  const bits = Array.from(row, (value) => floatBits(value === 0 ? 0 : value));
  return { row, bits, keys: bits.map(keyOf) };
}

const keyOf = (bits: number): number => (bits >= 2 ** 31 ? ~bits : bits | (2 ** 31)) >>> 0;

/** Of the last of the group's stripes what the row has. */
const stripeOf = ({ width, stripe }: DrawCase, group: number): number[] => {
  const first = group * stripe;
  return Array.from({ length: Math.min(stripe, width - first) }, (_, index) => first + index);
};

interface BlockParts {
  readonly uniform?: number;
  readonly entries?: readonly AdjustedLogit[];
  /** In slots 1, 2, …, all of them to look back on. */
  readonly drawn?: readonly number[];
}

function stepWords({ uniform = 0, entries = [], drawn = [] }: BlockParts = {}): Uint32Array<ArrayBuffer> {
  const step = new StepBlock({ rows: 1, selected: 1, sequences: 1, moves: 1, pages: 1, pageRows: 128 });
  const draw = new DrawBlock();
  draw.begin(slot, rule, uniform);
  draw.lookBack(drawn.map((_, index) => index + 1));
  draw.adjust(entries);
  const words = new Uint32Array(step.drawnTokensWord + drawBlockLayout.words);
  new Uint8Array(words.buffer).set(step.bytes);
  new Uint8Array(words.buffer).set(draw.bytes, 4 * step.drawBlockWord);
  for (const [index, token] of drawn.entries()) {
    words[step.drawnTokensWord + (index + 1) * drawBlockLayout.drawnWords] = token;
  }
  return words;
}

const answerAt = (words: Uint32Array): number => (words[10] ?? 0) + slot * drawBlockLayout.drawnWords;
const asWords = (words: Uint32Array<ArrayBuffer>): ArrayLike<number> => words;
const exact = (count: number): Uint32Array => new Uint32Array(count);

/** Numbers of 64 bits, the lower word first. */
const long = (words: ArrayLike<number>, at: number): number =>
  (words[at] ?? 0) + (words[at + 1] ?? 0) * 2 ** 32;

function setLong(words: Uint32Array, at: number, value: number): void {
  words[at] = value % 2 ** 32;
  words[at + 1] = Math.floor(value / 2 ** 32);
}

const paramsOf = ({ width, stripe }: DrawCase, more: Readonly<Record<string, number>> = {}) => ({
  ...{ x: 0, width, stripe, adjusted: 0 },
  ...more,
});

/** What the launch before leaves of the greatest logits. */
function greatestScratch(grid: DrawGrid, of: DrawCase): Uint32Array<ArrayBuffer> {
  const scratch = new Uint32Array(scratchAt(grid).end);
  for (let group = 0; group < grid.groups; group++) {
    const ids = stripeOf(of, group).sort((a, b) => (of.keys[b] ?? 0) - (of.keys[a] ?? 0) || a - b);
    const [best = 0, second = 0] = ids;
    const isBad = ids.some((id) => ((of.bits[id] ?? 0) & 0x7fffffff) >= 0x7f800000 && of.bits[id] !== banned);
    scratch.set([of.keys[best] ?? 0, best, Number(isBad), of.keys[second] ?? 0], group * partialWords);
  }
  return scratch;
}

export function greatestCheck(grid: DrawGrid): KernelCheck {
  const { width, stripe, row } = drawCase(grid);
  row[width - 1] = Number.POSITIVE_INFINITY;
  const of = { width, stripe, ...wordsOf(row) };
  const scratch = greatestScratch(grid, of);
  const places = Array.from({ length: grid.groups }, (_, group) => group * partialWords);
  const expected = places.flatMap((first) => [...scratch.subarray(first, first + 4)]);
  return {
    buffers: [row, stepWords(), new Uint32Array(scratch.length)],
    params: paramsOf(of),
    groups: [grid.groups, 1, 1],
    results: places.map((first) => ({ binding: 2, first, count: 4 })),
    ...{ valuesOf: asWords, expected, bounds: exact(expected.length) },
  };
}

/** Clear, not clear beside what the logits may be off, and equal in several stripes. */
export function firstCheck(grid: DrawGrid): KernelCheck {
  const step = stepWords();
  const caseOf = (last: readonly [number, number], slack: number, adjusted: number, next?: KernelCheck) => {
    const scratch = new Uint32Array(scratchAt(grid).end);
    for (let group = 0; group < grid.groups; group++) {
      const [value, second] = group === grid.groups - 1 ? last : [2, 1];
      const keys = [value, second].map((each) => keyOf(floatBits(each)));
      scratch.set([keys[0] ?? 0, 70 + group, 0, keys[1] ?? 0], group * partialWords);
    }
    scratch[scratchAt(grid).adjusted] = floatBits(slack);
    const winner = last[0] > 2 ? grid.groups - 1 : 0;
    const isUnsure = adjusted === 1 && last[0] - last[1] <= 2 * slack;
    return {
      buffers: [new Float32Array(4), step, scratch],
      params: { x: 0, width: 4, stripe: 4, adjusted },
      groups: [1, 1, 1] as const,
      results: [{ binding: 1, first: answerAt(step), count: 2 }],
      ...{ valuesOf: asWords, expected: [70 + winner, Number(isUnsure)], bounds: exact(2), next },
    };
  };
  return caseOf([6, 5.5], 0.2, 1, caseOf([6, 5.5], 0.3, 1, caseOf([2, 1], 0, 0)));
}

export function adjustCheck(grid: DrawGrid): KernelCheck {
  const row = noise(32, 2, 3);
  row.set([-2, 3, 1], 5);
  const entries = [
    { id: 2, count: 0, bias: 1.5 },
    { id: 5, count: 2, bias: 0 },
    { id: 6, count: 1, bias: -0.5 },
    { id: 12, count: 0, bias: Number.NEGATIVE_INFINITY },
  ];
  const drawn = [6, 20, 20];
  const { repetitionPenalty, frequencyPenalty, presencePenalty } = rule;
  const expected = Array.from(row);
  let slack = 0;
  for (const id of new Set([...entries.map((entry) => entry.id), ...drawn])) {
    const { count: before = 0, bias = 0 } = entries.find((entry) => entry.id === id) ?? {};
    const count = before + drawn.filter((token) => token === id).length;
    const logit = (row[id] ?? 0) + bias;
    const lowered = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
    expected[id] = count > 0 ? lowered - count * frequencyPenalty - presencePenalty : logit;
    if (!Number.isFinite(bias)) continue;
    const size = Math.abs(row[id] ?? 0) + Math.abs(bias);
    const more = count * frequencyPenalty + presencePenalty;
    slack = Math.max(slack, 2 ** -20 * (count > 0 ? size * repetitionPenalty + more : size));
  }
  const finite = (value: number): number => (Number.isFinite(value) ? value : -1e30);
  return {
    buffers: [row, stepWords({ entries, drawn }), new Uint32Array(scratchAt(grid).end)],
    params: { x: 0, width: row.length, stripe: row.length, adjusted: 1 },
    groups: [1, 1, 1],
    results: [
      { binding: 0, first: 0, count: row.length },
      { binding: 2, first: scratchAt(grid).adjusted, count: 1 },
    ],
    valuesOf: (words) => Array.from(new Float32Array(words.buffer), finite),
    expected: [...expected.map(finite), slack],
    bounds: [...expected.map(() => 1e-5), slack * 1e-3],
  };
}

/** Weights that a logit so far below the greatest has. */
const weightOf = (away: number, temperature: number): number =>
  Math.floor(one * Math.exp(-away / temperature));

/** The first digit of ids, the second behind the first, and the first of weights. */
export function selectCheck(grid: DrawGrid): KernelCheck {
  const of = drawCase(grid);
  const at = scratchAt(grid);
  const half = grid.groups * bins * 2;
  const histogramOf = (measure: number, digit: number, prefix: number): number[] => {
    const sums = new Array<number>(grid.groups * bins).fill(0);
    for (let id = 0; id < of.width; id++) {
      const key = of.keys[id] ?? 0;
      if (of.bits[id] === banned || (digit > 0 && key >>> 24 !== prefix)) continue;
      const place = Math.floor(id / of.stripe) * bins + ((key >>> (24 - 8 * digit)) & (bins - 1));
      sums[place] = (sums[place] ?? 0) + (measure === 1 ? 1 : weightOf(6 - (of.row[id] ?? 0), 1));
    }
    return sums;
  };
  const counts = histogramOf(1, 0, 0);
  const whole = Array.from({ length: bins }, (_, bin) =>
    counts.reduce((sum, count, place) => (place % bins === bin ? sum + count : sum), 0),
  );
  let [prefix, above] = [bins - 1, 0];
  while (prefix > 0 && above + (whole[prefix] ?? 0) < rule.topK) above += whole[prefix--] ?? 0;
  const scratchOf = (before: readonly number[]): Uint32Array<ArrayBuffer> => {
    const scratch = greatestScratch(grid, of);
    for (const [place, count] of before.entries()) setLong(scratch, at.histograms + 2 * place, count);
    return scratch;
  };
  const caseOf = (
    { launch, before, measure, digit }: Readonly<Record<'launch' | 'before' | 'measure' | 'digit', number>>,
    [scratch, sums, stated]: readonly [Uint32Array<ArrayBuffer>, readonly number[], readonly number[]],
    next?: KernelCheck,
  ): KernelCheck => ({
    buffers: [of.row, stepWords(), scratch],
    params: paramsOf(of, { launch, before, digitBefore: 0, measure, digit }),
    groups: [grid.groups, 1, 1],
    results: [
      { binding: 2, first: at.states + launch * stateWords, count: stateWords },
      { binding: 2, first: at.histograms + (launch & 1) * half, count: half },
    ],
    valuesOf: (words) => [
      ...words.subarray(0, stateWords),
      ...sums.map((_, place) => long(words, stateWords + 2 * place)),
    ],
    expected: [...stated, ...sums],
    // A weight is as near to the true one as 2^-21 of it, and a whole number.
    bounds: [...stated.map(() => 0), ...sums.map((sum) => (measure === 1 ? 0 : sum * 2 ** -19 + of.stripe))],
    next,
  });
  const noState = new Array<number>(stateWords).fill(0);
  const concluded = [...noState];
  concluded[state.prefix] = prefix;
  concluded[state.above] = above;
  concluded[state.target] = rule.topK;
  concluded[state.total] = whole.reduce((sum, count) => sum + count, 0);
  const ofWeights = caseOf({ launch: 0, before: 0, measure: 2, digit: 0 }, [
    ...[scratchOf([]), histogramOf(2, 0, 0), noState],
  ] as const);
  const second = caseOf(
    { launch: 1, before: 1, measure: 1, digit: 1 },
    [scratchOf(counts), histogramOf(1, 1, prefix), concluded],
    ofWeights,
  );
  return caseOf({ launch: 0, before: 0, measure: 1, digit: 0 }, [scratchOf([]), counts, noState], second);
}

/** Weight of each id that min-p keeps: those at its bound, too. */
function keptWeights({ row, bits }: DrawCase): number[] {
  const isKept = (id: number): boolean => bits[id] !== banned && 6 - (row[id] ?? 0) <= 3;
  return Array.from(row, (value, id) => (isKept(id) ? weightOf(6 - value, rule.temperature) : 0));
}

export function weighCheck(grid: DrawGrid): KernelCheck {
  const of = drawCase(grid);
  const weights = keptWeights(of);
  const sums = Array.from({ length: grid.groups }, (_, group) => {
    const ids = stripeOf(of, group);
    const sumOf = (which: readonly number[]) => which.reduce((sum, id) => sum + (weights[id] ?? 0), 0);
    return [sumOf(ids), sumOf(ids.filter((id) => of.row[id] === 3))];
  }).flat();
  return {
    buffers: [of.row, stepWords(), greatestScratch(grid, of)],
    params: paramsOf(of, { launch: 0, before: 0, digitBefore: 0 }),
    groups: [grid.groups, 1, 1],
    results: Array.from({ length: grid.groups }, (_, group) => {
      return { binding: 2, first: group * partialWords + 4, count: 4 };
    }),
    valuesOf: (words) => sums.map((_, place) => long(words, 2 * place)),
    expected: sums,
    bounds: sums.map((sum) => sum * 2 ** -19 + of.stripe),
  };
}

/** An id of the last stripe, and a number at the bound of what belongs to it. */
export function pickCheck(grid: DrawGrid): KernelCheck {
  const of = drawCase(grid);
  const weights = keptWeights(of);
  const scratch = greatestScratch(grid, of);
  for (let group = 0; group < grid.groups; group++) {
    const sum = stripeOf(of, group).reduce((total, id) => total + (weights[id] ?? 0), 0);
    setLong(scratch, group * partialWords + 4, sum);
  }
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const [id = 0] = stripeOf(of, grid.groups - 1).sort((a, b) => (weights[b] ?? 0) - (weights[a] ?? 0));
  const below = weights.slice(0, id).reduce((sum, weight) => sum + weight, 0);
  const caseOf = (share: number, next?: KernelCheck): KernelCheck => {
    const step = stepWords({ uniform: (below + share * (weights[id] ?? 0)) / total });
    return {
      buffers: [of.row, step, scratch],
      params: paramsOf(of, { launch: 0, hasTopP: 0 }),
      groups: [1, 1, 1],
      results: [{ binding: 1, first: answerAt(step), count: 2 }],
      // At a bound either id will do.
      valuesOf: ([drawn = 0, isUnsure = 0]) => [share === 0 ? id : drawn, isUnsure],
      ...{ expected: [id, Number(share === 0)], bounds: exact(2), next },
    };
  };
  return caseOf(0.5, caseOf(0));
}
