import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mergeSet } from './merge-sets.ts';
import type { ModelSet } from './report.ts';

const spec = { kind: 'native', modelPath: 'm', threads: 2, contextRows: 9 } as const;
const other = { ...spec, kind: 'nearfield-node' } as const;

function setOf(conditions: string, values: Record<string, number>, peakBytes: number): ModelSet {
  return {
    ...{ model: '1.1 B', threads: 2, conditions: [conditions] },
    measurements: Object.entries(values).map(([row, value]) => ({ row, spec, values: [value] })),
    contenders: [{ spec, about: conditions, peakBytes }],
  };
}

test('rows of an earlier call stay, those measured again are replaced', () => {
  const apart = { ...setOf('c', { prompt: 1 }, 1), threads: 1 };
  const second = setOf('b', { decode: 4, start: 5 }, 7);
  const contenders = [...second.contenders, { spec: other, about: 'b', peakBytes: 3 }];
  const [set, rest] = mergeSet([setOf('a', { prompt: 1, decode: 2 }, 9), apart], { ...second, contenders });
  assert.deepEqual(rest, apart);
  assert.deepEqual(
    set?.measurements.map(({ row, values }) => [row, ...values]),
    [
      ['prompt', 1],
      ['decode', 4],
      ['start', 5],
    ],
  );
  assert.deepEqual(
    set?.contenders.map(({ about, peakBytes }) => [about, peakBytes]),
    [
      ['b', 9],
      ['b', 3],
    ],
  );
  assert.deepEqual(set?.conditions, ['a', 'b']);
  assert.equal(mergeSet([], second)[0], second);
});
