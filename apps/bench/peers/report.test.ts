import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ContenderSpec } from './contender.ts';
import { type ModelSet, plotGroups, setReport, shortfalls } from './report.ts';

const spec = (kind: ContenderSpec['kind'], threads: number, more: Partial<ContenderSpec> = {}) => ({
  ...{ kind, threads, modelPath: 'a.gguf', contextRows: 1, ...more },
});
const ours = spec('nearfield-node', 2);
const nativeOn = spec('native', 2, { flashAttention: true, cache: 'f16' });
const nativeOff = spec('native', 2, { flashAttention: false, cache: 'f16' });
const nativeOne = spec('native', 1, { flashAttention: false, cache: 'f16' });
const row = 'decode, empty context';

const set = (threads: number, values: readonly [ContenderSpec, number[]][]): ModelSet => ({
  ...{ model: '1.1 B', threads, conditions: ['Today.'] },
  measurements: values.map(([measured, runs]) => ({ row, spec: measured, values: runs })),
  contenders: values.map(([measured]) => ({ spec: measured, about: '', peakBytes: 2 ** 20 })),
});
const two = set(2, [
  [ours, [30, 40, 20]],
  [nativeOff, [10]],
  [nativeOn, [50]],
]);

test('native counts at the best of its settings and of fewer threads', () => {
  assert.match(
    setReport([two], two),
    /decode, empty context .*\| 30\.0 \(20\.0–40\.0\) \| 50\.0, flash on, f16 \| 0\.60x/,
  );
  const one = set(1, [[nativeOne, [60]]]);
  assert.match(setReport([one, two], two), /60\.0, flash off, f16, 1 thread \| 0\.50x/);
  assert.equal(plotGroups([one, two], two)[0]?.bars[0]?.value, 0.5);
});

test('a figure under its goal is named, with its floor', () => {
  assert.match(
    shortfalls([two], two),
    /decode, empty context: .* 0\.60x of native, goal 0\.85x, above the floor/,
  );
  const slow = set(2, [
    [ours, [20]],
    [nativeOn, [50]],
  ]);
  assert.match(shortfalls([slow], slow), /0\.40x of native.*below the floor 0\.60x/);
  const fast = set(2, [
    [ours, [49]],
    [nativeOn, [50]],
  ]);
  assert.match(shortfalls([fast], fast), /Every goal/);
});
