import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uniformAt } from '../base/random.ts';
import type { SamplingOptions } from '../decoder.ts';
import { CandidateReader } from './candidate-reader.ts';
import { Sampler } from './sampler.ts';
import { resolveSampling } from './sampling-options.ts';

const size = 40;
const open = (options: SamplingOptions, count = 6) =>
  new CandidateReader(resolveSampling({ seed: 1, ...options }, size), size, count);
const noHistory = () => [];

/** Logits of a row, and those of a model that thinks a little differently. */
function rowOf(seed: number, noise = 0): Float32Array {
  return Float32Array.from({ length: size }, (_, id) => {
    return 8 * uniformAt(seed, id) + noise * (uniformAt(seed, id, 1) - 0.5);
  });
}

test('greedily: the likeliest tokens with their probabilities', () => {
  const row = Float32Array.from({ length: size }, (_, id) => (id === 7 ? 3 : id === 30 ? 2 : -40));
  const [first, second, ...rest] = open({}).read(row, 5, noHistory);
  assert.deepEqual([first?.token, second?.token], [7, 30]);
  assert.ok(Math.abs((first?.share ?? 0) - 1 / (1 + Math.exp(-1))) < 1e-6);
  assert.ok(rest.every(({ share }) => share < 1e-15));
  assert.equal(open({}, 3).read(row, 5, noHistory).length, 3);
  const sum = open({}, size)
    .read(rowOf(4), 5, noHistory)
    .reduce((total, { share }) => total + share, 0);
  assert.ok(Math.abs(sum - 1) < 1e-9);
});

test('bias and penalties are those of the target', () => {
  const row = rowOf(3);
  const [first] = open({}).read(row, 5, noHistory);
  const token = first?.token ?? 0;
  const banned = open({ logitBias: new Map([[token, Number.NEGATIVE_INFINITY]]) });
  assert.ok(banned.read(row, 5, noHistory).every((candidate) => candidate.token !== token));
  const penalized = open({ presencePenalty: 20, penaltyWindow: 3 });
  const asked: number[] = [];
  const history = (most: number) => {
    asked.push(most);
    return [token];
  };
  assert.notEqual(penalized.read(row, 5, history)[0]?.token, token);
  assert.deepEqual(asked, [3]);
  const other = open({ logitBias: new Map([[size - 1, 50]]) });
  assert.equal(other.read(rowOf(3), 5, noHistory)[0]?.token, size - 1);
});

/** How often the first candidate is what is drawn, by a model whose logits differ by `noise`; and how often the likeliest. */
function foreseen(options: SamplingOptions, noise: number): { hits: number; likeliest: number } {
  const row = { hits: 0, likeliest: 0 };
  const reader = open({ ...options, seed: 1 });
  for (let position = 1; position <= 1500; position++) {
    const drawn = new Sampler({ ...options, seed: 1 }, size, []).draw(rowOf(position), position);
    const near = rowOf(position, noise);
    const candidates = reader.read(near, position, noHistory);
    if (candidates[0]?.token === drawn) row.hits++;
    if (near.indexOf(Math.max(...near)) === drawn) row.likeliest++;
    reader.learn(candidates, drawn);
  }
  return row;
}

test('a draw is foreseen: nearly always where the models agree, and more often than by the likeliest where they nearly do', () => {
  for (const options of [
    { temperature: 1 },
    { temperature: 0.7, topK: 12, topP: 0.9, minP: 0.02 },
  ] satisfies SamplingOptions[]) {
    const [same, near] = [foreseen(options, 0), foreseen(options, 2)];
    assert.ok(same.hits > 1400, JSON.stringify(same));
    assert.ok(near.hits > 1.15 * near.likeliest && near.hits < same.hits, JSON.stringify(near));
  }
});

test('confidences are probabilities, the greatest first', () => {
  for (let seed = 1; seed < 200; seed++) {
    const candidates = open({ temperature: 1, seed }, size).read(rowOf(seed), seed, noHistory);
    let [sum, before] = [0, 1];
    for (const { share } of candidates) {
      assert.ok(share >= 0 && share <= before);
      before = share;
      sum += share;
    }
    assert.ok(Math.abs(sum - 1) < 1e-9, `${sum}`);
  }
});
