import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uniformAt } from '../base/random.ts';
import { expectedTokens, planTree } from './tree-plan.ts';

/** Values of E[m, l] for l = 0 to `depth`. */
function table(acceptance: readonly number[], mostRows: number, depth: number): Float64Array[] {
  const levels: Float64Array[] = [];
  for (let level = 0; level <= depth; level++) {
    levels.push(expectedTokens({ acceptance, mostRows }, levels.at(-1)));
  }
  return levels;
}

/** The best tree of exactly `rows` rows: a node is worth the product of the shares above it, so the greatest are taken. */
function greedy(acceptance: readonly number[], rows: number, depth: number): number {
  const open = [{ value: 1, level: 0 }];
  let [sum, taken] = [0, 0];
  while (taken < rows) {
    open.sort((a, b) => b.value - a.value);
    const best = open.shift();
    if (!best) return Number.NEGATIVE_INFINITY;
    taken++;
    sum += best.value;
    if (best.level === depth) continue;
    for (const share of acceptance) open.push({ value: best.value * share, level: best.level + 1 });
  }
  return sum;
}

test('the expected tokens are those of the best tree of that size and depth', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const shares = Array.from({ length: 1 + (seed % 4) }, (_, rank) => uniformAt(seed, rank)).sort(
      (a, b) => b - a,
    );
    const depth = 1 + (seed % 5);
    const levels = table(shares, 24, depth);
    for (const [level, expected] of levels.entries()) {
      for (let rows = 1; rows <= 24; rows++) {
        const [planned = 0, best] = [expected[rows], greedy(shares, rows, level)];
        const isEqual = planned === best || Math.abs(planned - best) < 1e-9;
        assert.ok(isEqual, `seed ${seed}, ${rows} rows, ${level} deep: ${planned}, ${best}`);
      }
    }
  }
});

test('a chain and a bush by hand', () => {
  const [, one, two] = table([0.5, 0.25], 4, 2);
  assert.equal(one?.[2], 1.5);
  assert.equal(one?.[3], 1.75);
  assert.equal(one?.[4], Number.NEGATIVE_INFINITY);
  assert.equal(two?.[3], 1.75);
  assert.equal(two?.[4], 2);
});

test('the plan weighs what trees yield against what they cost', () => {
  const input = { acceptance: [0.8, 0.1, 0.05], mostRows: 64, mostDepth: 16, draftMs: 1 };
  const streamed = planTree({ ...input, targetMs: (rows) => Math.max(100, 2 * rows) });
  assert.ok(streamed.rows > 30 && streamed.depth > 6, JSON.stringify(streamed));
  const resident = planTree({ ...input, targetMs: (rows) => 5 + 5 * rows });
  assert.ok(resident.rows < 10 && resident.depth >= 1, JSON.stringify(resident));
  // Each row costs a whole pass: nothing is gained by guessing.
  const dear = planTree({ ...input, targetMs: (rows) => 10 * rows });
  assert.deepEqual(dear, { rows: 1, depth: 0, tokens: 1, tokensPerMs: 0.1 });
  const wrong = planTree({ ...input, acceptance: [0.001], targetMs: (rows) => 50 + rows });
  assert.equal(wrong.depth, 0);
  const slowDraft = planTree({ ...input, draftMs: 100, targetMs: () => 100 });
  assert.equal(slowDraft.depth, 0);
});

test('no other size and depth is expected to be faster', () => {
  const targetMs = (rows: number): number => Math.max(40, 20 + 3 * rows);
  const acceptance = [0.6, 0.2, 0.1];
  const plan = planTree({ acceptance, mostRows: 32, mostDepth: 6, draftMs: 4, targetMs });
  for (const [depth, expected] of table(acceptance, 32, 6).entries()) {
    for (const [rows, tokens] of expected.entries()) {
      assert.ok(!(tokens / (4 * depth + targetMs(rows)) > plan.tokensPerMs), `${rows} rows, ${depth} deep`);
    }
  }
});
