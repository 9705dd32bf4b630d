import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Checkpoint, TensorEntry } from '../checkpoint.ts';
import { formatByName } from '../format.ts';
import type { WeightValue } from '../graph.ts';
import { locateWeight } from './locate.ts';

function checkpointWith(format: string, shape: readonly number[], byteLength: number): Checkpoint {
  const entry: TensorEntry = {
    ...{ name: 'fused', format: formatByName(format), shape, byteLength, part: 0, byteOffset: 4096 },
  };
  return { name: 'test.gguf', tensors: new Map([['fused', entry]]) } as unknown as Checkpoint;
}

const rows = (format: string, shape: number[], firstRow: number, rowCount: number): WeightValue => ({
  ...{ id: 0, name: `fused[${firstRow}:${firstRow + rowCount}]`, kind: 'weight', tensor: 'fused' },
  type: { format: formatByName(format), shape },
  ...{ firstRow, rowCount },
});

test('rows of a matrix, values of a vector, heads of a matrix as one vector', () => {
  const matrix = checkpointWith('q8_0', [96, 64], 96 * 68);
  const part = locateWeight(rows('q8_0', [32, 64], 48, 32), matrix);
  assert.deepEqual([part.offsetBytes, part.byteLength], [48 * 68, 32 * 68]);
  const bias = locateWeight(rows('f32', [32], 64, 32), checkpointWith('f32', [96], 384));
  assert.deepEqual([bias.offsetBytes, bias.byteLength], [256, 128]);
  const norms = locateWeight(rows('f32', [64], 0, 4), checkpointWith('f32', [4, 16], 256));
  assert.deepEqual([norms.offsetBytes, norms.byteLength], [0, 256]);
});

test('what is not there as the model needs it is refused', () => {
  const matrix = checkpointWith('q8_0', [96, 64], 96 * 68);
  const cases: [WeightValue, RegExp][] = [
    [
      rows('q8_0', [32, 64], 80, 32),
      /fused is q8_0\[96, 64\], the model needs q8_0\[32, 64\].*fused\[80:112\]/,
    ],
    [rows('q4_0', [32, 64], 0, 32), /needs q4_0/],
    [rows('q8_0', [64, 32], 0, 32), /needs q8_0\[64, 32\]/],
    [rows('q8_0', [32, 60], 0, 32), /needs q8_0\[32, 60\]/],
  ];
  for (const [weight, message] of cases) {
    assert.throws(() => locateWeight(weight, matrix), { code: 'bad-file', message });
  }
  // A part of a block is no part of a file.
  const blocks = checkpointWith('q8_0', [96], 102);
  assert.throws(() => locateWeight(rows('q8_0', [16], 16, 16), blocks), { code: 'bad-file' });
});
