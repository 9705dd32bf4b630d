import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uniformAt } from '../base/random.ts';
import type { SamplingOptions } from '../decoder.ts';
import { Sampler } from './sampler.ts';

/** Normal numbers (Box and Muller), some of them made equal so that ties occur. */
function randomLogits(seed: number, vocabularySize: number, spread: number): Float32Array {
  return Float32Array.from({ length: vocabularySize }, (_, id) => {
    const radius = Math.sqrt(-2 * Math.log(1 - uniformAt(seed, id, 1)));
    const value = spread * radius * Math.cos(2 * Math.PI * uniformAt(seed, id, 2));
    return id % 3 === 0 ? Math.round(value * 4) / 4 : value;
  });
}

/** The definition, word for word: sort everything, filter, then draw. Probability of each id that is left. */
function naiveDistribution(logits: ArrayLike<number>, options: SamplingOptions, history: readonly number[]) {
  const window = options.penaltyWindow ?? 64;
  const seen = window < 0 ? history : window === 0 ? [] : history.slice(-window);
  const { repetitionPenalty = 1, frequencyPenalty = 0, presencePenalty = 0 } = options;
  let left = Array.from(logits, (logit, id) => {
    const biased = logit + (options.logitBias?.get(id) ?? 0);
    const count = seen.filter((token) => token === id).length;
    if (count === 0) return { id, logit: biased };
    const repeated = biased > 0 ? biased / repetitionPenalty : biased * repetitionPenalty;
    return { id, logit: repeated - count * frequencyPenalty - presencePenalty };
  });
  left = left.filter(({ logit }) => logit !== Number.NEGATIVE_INFINITY);
  left.sort((a, b) => b.logit - a.logit || a.id - b.id);
  if (options.topK) left = left.slice(0, options.topK);
  const greatest = left[0]?.logit ?? 0;
  const share = (entries: typeof left) =>
    entries.reduce((sum, { logit }) => sum + Math.exp(logit - greatest), 0);
  const topP = options.topP ?? 1;
  if (topP < 1) {
    const total = share(left);
    let kept = 1;
    while (kept < left.length && share(left.slice(0, kept)) < topP * total) kept++;
    left = left.slice(0, kept);
  }
  left = left.filter(({ logit }) => Math.exp(logit - greatest) >= (options.minP ?? 0));
  const temperature = options.temperature ?? 0;
  if (temperature === 0) left = left.slice(0, 1);
  const weights = left.map(({ id, logit }) => ({
    id,
    weight: temperature === 0 ? 1 : Math.exp((logit - greatest) / temperature),
  }));
  const total = weights.reduce((sum, { weight }) => sum + weight, 0);
  weights.sort((a, b) => a.id - b.id);
  return weights.map(({ id, weight }) => ({ id, probability: weight / total }));
}

function naiveDraw(distribution: ReturnType<typeof naiveDistribution>, uniform: number): number {
  let reached = 0;
  for (const { id, probability } of distribution) {
    reached += probability;
    if (reached > uniform) return id;
  }
  return distribution.at(-1)?.id ?? -1;
}

const history = Array.from({ length: 150 }, (_, index) => Math.floor(uniformAt(99, index) ** 2 * 300));

const settings: SamplingOptions[] = [
  {},
  { temperature: 1 },
  { temperature: 0.3 },
  { temperature: 2.5, topK: 1 },
  { temperature: 1, topK: 2 },
  { temperature: 0.8, topK: 40 },
  { temperature: 0.8, topK: 299 },
  { temperature: 0.8, topK: 5000 },
  { temperature: 1, topP: 0.9 },
  { temperature: 1.5, topP: 0.5 },
  { temperature: 1, topP: 0 },
  { temperature: 1, topP: 0.999 },
  { temperature: 1, minP: 0.05 },
  { temperature: 1, minP: 1 },
  { temperature: 0.7, topK: 40, topP: 0.9, minP: 0.02 },
  { repetitionPenalty: 1.5 },
  { temperature: 1, repetitionPenalty: 1.3, penaltyWindow: 20 },
  { temperature: 1, repetitionPenalty: 0.7, frequencyPenalty: 0.4, presencePenalty: -0.5, penaltyWindow: -1 },
  { temperature: 1, frequencyPenalty: 2, penaltyWindow: 0 },
  {
    temperature: 0.9,
    topK: 20,
    logitBias: new Map([
      [3, 4],
      [7, Number.NEGATIVE_INFINITY],
    ]),
  },
];

test('draws what sorting everything would', () => {
  for (const [index, options] of settings.entries()) {
    for (const spread of [0.2, 2, 12]) {
      const logits = randomLogits(index + 1, 300, spread);
      const sampler = new Sampler({ ...options, seed: 5 }, 300, history);
      const distribution = naiveDistribution(logits, options, history);
      for (let position = 0; position < 40; position++) {
        assert.equal(
          sampler.draw(logits, position),
          naiveDraw(distribution, uniformAt(5, position)),
          `${JSON.stringify(options)} spread ${spread} position ${position}`,
        );
      }
    }
  }
});

test('every survivor of the filters can be drawn, and nothing else', () => {
  for (const options of settings.filter(({ temperature }) => temperature)) {
    const logits = randomLogits(4, 40, 1);
    const sampler = new Sampler({ ...options, temperature: 20, seed: 1 }, 40, history);
    const drawn = new Set<number>();
    for (let position = 0; position < 3000; position++) drawn.add(sampler.draw(logits, position));
    const allowed = naiveDistribution(logits, { ...options, temperature: 20 }, history);
    assert.deepEqual(
      [...drawn].sort((a, b) => a - b),
      allowed.map(({ id }) => id),
      JSON.stringify(options),
    );
  }
});

test('frequencies follow the distribution', () => {
  const draws = 8_000;
  for (const options of settings.filter(({ temperature }) => temperature)) {
    const logits = randomLogits(11, 60, 1.5);
    const sampler = new Sampler({ ...options, seed: 2026 }, 60, history);
    const counts = new Map<number, number>();
    for (let position = 0; position < draws; position++) {
      const id = sampler.draw(logits, position);
      counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    // Cells of fewer than five expected draws are put together, as the chi-square test wants.
    let [chiSquare, cells, rareExpected, rareCount] = [0, 0, 0, 0];
    for (const { id, probability } of naiveDistribution(logits, options, history)) {
      const expected = probability * draws;
      if (expected < 5) {
        rareExpected += expected;
        rareCount += counts.get(id) ?? 0;
      } else {
        chiSquare += ((counts.get(id) ?? 0) - expected) ** 2 / expected;
        cells++;
      }
    }
    if (rareExpected > 0) {
      chiSquare += (rareCount - rareExpected) ** 2 / rareExpected;
      cells++;
    }
    const freedom = cells - 1;
    // Four standard deviations of the normal that chi-square tends to.
    const limit = freedom + 4 * Math.sqrt(2 * freedom);
    assert.ok(chiSquare <= limit, `${JSON.stringify(options)}: chi-square ${chiSquare}, limit ${limit}`);
  }
});

test('a large vocabulary: flat, peaked, equal and ordered logits', () => {
  const size = 40_000;
  const rows: [string, Float32Array][] = [
    ['flat', randomLogits(3, size, 0.02)],
    ['peaked', randomLogits(3, size, 5)],
    ['equal', new Float32Array(size)],
    ['ascending', Float32Array.from({ length: size }, (_, id) => id / size)],
    ['descending', Float32Array.from({ length: size }, (_, id) => -id / size)],
  ];
  for (const [name, logits] of rows) {
    const order = Array.from(logits, (_, id) => id).sort(
      (a, b) => (logits[b] ?? 0) - (logits[a] ?? 0) || a - b,
    );
    const greatest = logits[order[0] ?? 0] ?? 0;
    const weights = order.map((id) => Math.exp((logits[id] ?? 0) - greatest));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    let [kept, reached] = [0, 0];
    while (reached < 0.9 * total) reached += weights[kept++] ?? 0;
    // One token more or less at the edge is rounding: the naive sum adds in another order.
    const surely = new Set(order.slice(0, kept - 1));
    const perhaps = new Set(order.slice(0, kept + 1));
    const sampler = new Sampler({ temperature: 1e9, topP: 0.9, seed: 1 }, size, []);
    const drawn = new Set<number>();
    for (let position = 0; position < 300; position++) drawn.add(sampler.draw(logits, position));
    for (const id of drawn) assert.ok(perhaps.has(id), `${name}: token ${id} is outside the nucleus`);
    assert.ok(drawn.size > Math.min(surely.size, 300) * 0.6, `${name}: ${drawn.size} of ${surely.size}`);
    const greedy = new Sampler({}, size, []);
    assert.equal(greedy.draw(logits, 0), order[0], name);
  }
});

test('which options need logits', () => {
  const needs = (options: SamplingOptions) => new Sampler(options, 10, []).needsLogits;
  assert.equal(needs({}), false);
  assert.equal(needs({ topK: 40, topP: 0.5, minP: 0.1, seed: 3 }), false);
  assert.equal(needs({ temperature: 1, topK: 1 }), false);
  assert.equal(needs({ temperature: 0.1 }), true);
  assert.equal(needs({ repetitionPenalty: 1.1 }), true);
  assert.equal(needs({ repetitionPenalty: 1.1, penaltyWindow: 0 }), false);
  assert.equal(needs({ logitBias: new Map([[1, 1]]) }), true);
});

test('logits that no working model computes', () => {
  const settingsOfEveryPath: SamplingOptions[] = [
    {},
    { presencePenalty: 1 },
    { temperature: 1 },
    { temperature: 1, topK: 3 },
    { temperature: 1, topP: 0.5 },
  ];
  for (const options of settingsOfEveryPath) {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      for (const at of [0, 5, 9]) {
        const logits = randomLogits(1, 10, 1);
        logits[at] = bad;
        const sampler = new Sampler(options, 10, [1]);
        assert.throws(() => sampler.draw(logits, 0), {
          code: 'backend',
          message: new RegExp(`token ${at} `),
        });
      }
    }
    const banned = new Float32Array(10).fill(Number.NEGATIVE_INFINITY);
    assert.throws(() => new Sampler(options, 10, [1]).draw(banned, 0), { code: 'bad-argument' });
  }
});

test('options out of range', () => {
  const bad: SamplingOptions[] = [
    { temperature: -1 },
    { temperature: Number.NaN },
    { temperature: Number.POSITIVE_INFINITY },
    { topK: -1 },
    { topK: 1.5 },
    { topP: 1.1 },
    { topP: -0.1 },
    { minP: 2 },
    { repetitionPenalty: 0 },
    { repetitionPenalty: Number.NaN },
    { frequencyPenalty: Number.POSITIVE_INFINITY },
    { presencePenalty: Number.NaN },
    { penaltyWindow: -2 },
    { seed: -1 },
    { logitBias: new Map([[10, 1]]) },
    { logitBias: new Map([[-1, 1]]) },
    { logitBias: new Map([[1, Number.NaN]]) },
    { logitBias: new Map([[1, Number.POSITIVE_INFINITY]]) },
  ];
  for (const options of bad) {
    assert.throws(() => new Sampler(options, 10, []), { code: 'bad-argument' }, JSON.stringify(options));
  }
});

test('penalties follow the accepted tokens', () => {
  const options: SamplingOptions = {
    temperature: 1,
    repetitionPenalty: 1.4,
    frequencyPenalty: 1.5,
    presencePenalty: 0.5,
    penaltyWindow: 16,
    seed: 8,
  };
  const tokens = history.map((id) => id % 30);
  const sampler = new Sampler(options, 30, tokens);
  for (let count = 0; count < 200; count++) {
    const logits = randomLogits(count, 30, 1);
    const id = sampler.draw(logits, tokens.length);
    const distribution = naiveDistribution(logits, options, tokens);
    assert.equal(id, naiveDraw(distribution, uniformAt(8, tokens.length)), `token ${count}`);
    tokens.push(id);
    sampler.accept(id);
  }
});
