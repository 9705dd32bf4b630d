import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memorySink } from '../checkpoint.ts';
import { readImatrix, writeImatrix } from './imatrix-file.ts';
import { Importance, type ImportanceFile } from './importance.ts';

const content: ImportanceFile = {
  entries: new Map([
    ['blk.0.attn_q.weight', { sums: Float32Array.of(2, 4, 6), counts: Float32Array.of(2) }],
    [
      'blk.0.ffn_up_exps.weight',
      { sums: Float32Array.of(3, 6, 0, 0, 5, 5), counts: Float32Array.of(3, 0, 5) },
    ],
  ]),
  datasets: ['tales.txt'],
  chunkCount: 7,
  chunkSize: 512,
};

/** In llama.cpp's older form: name, calls and values of each entry, then windows and text. */
function legacy(
  entries: readonly [string, number, readonly number[]][],
  end: readonly [number, string] | undefined,
): Uint8Array {
  const pieces: Uint8Array[] = [];
  const integer = (value: number) => pieces.push(new Uint8Array(Int32Array.of(value).buffer));
  const text = (value: string) => {
    integer(value.length);
    pieces.push(new TextEncoder().encode(value));
  };
  integer(entries.length);
  for (const [name, calls, values] of entries) {
    text(name);
    integer(calls);
    integer(values.length);
    pieces.push(new Uint8Array(Float32Array.from(values).buffer));
  }
  if (end) {
    integer(end[0]);
    text(end[1]);
  }
  return Uint8Array.from(pieces.flatMap((piece) => [...piece]));
}

test('what is written is read again', async () => {
  const sink = memorySink();
  await writeImatrix(sink, content);
  const read = await readImatrix(sink.bytes());
  assert.deepEqual(read, content);
  const importance = new Importance(read);
  assert.deepEqual(importance.of('blk.0.attn_q.weight', 0, 3), Float32Array.of(1, 2, 3));
  assert.deepEqual(importance.of('blk.0.ffn_up_exps.weight', 0, 2), Float32Array.of(1, 2));
  assert.deepEqual(
    importance.of('blk.0.ffn_up_exps.weight', 1, 2),
    Float32Array.of(1, 1),
    'an expert nobody came to',
  );
  assert.equal(importance.of('output.weight', 0, 3), undefined);
  assert.throws(() => importance.expectFits('blk.0.attn_q.weight', 4, 1), {
    code: 'bad-argument',
    message: /3 numbers.*4 columns/,
  });
});

test('the older form is read: values are means times calls', async () => {
  const entry: [string, number, number[]] = ['blk.1.ffn_down.weight', 4, [4, 8, 12, 16]];
  const read = await readImatrix(legacy([entry], [4, 'tales.txt']));
  assert.deepEqual([read.chunkCount, read.datasets], [4, ['tales.txt']]);
  const importance = new Importance(read);
  assert.deepEqual(importance.of('blk.1.ffn_down.weight', 0, 4), Float32Array.of(1, 2, 3, 4));
  assert.deepEqual(
    importance.of('blk.1.ffn_down.weight', 1, 2),
    Float32Array.of(3, 4),
    'the second of two experts',
  );
  const bare = await readImatrix(legacy([entry], undefined));
  assert.deepEqual([bare.chunkCount, bare.datasets], [0, []]);
});

test('other files, cut ones and numbers that mean nothing are refused', async () => {
  const whole = legacy([['blk.0.attn_q.weight', 1, [1, 2]]], [1, 't']);
  // What follows the entries, and the text's name at its end, may be missing.
  const wholeToo = [whole.length - 9, whole.length - 5];
  for (let length = 4; length < whole.length; length++) {
    if (wholeToo.includes(length)) continue;
    await assert.rejects(readImatrix(whole.subarray(0, length)), { code: 'bad-file' }, `cut at ${length}`);
  }
  await assert.rejects(readImatrix(legacy([], [1, 't'])), { code: 'bad-file' });
  await assert.rejects(readImatrix(legacy([['a', 1, [Number.NaN]]], undefined)), {
    code: 'bad-file',
    message: /finite/,
  });
  await assert.rejects(readImatrix(legacy([['a', 1, [-1]]], undefined)), {
    code: 'bad-file',
    message: /negative/,
  });
  const sink = memorySink();
  await writeImatrix(sink, { ...content, entries: new Map() });
  await assert.rejects(readImatrix(sink.bytes()), { code: 'bad-file' });
  await assert.rejects(readImatrix('/does/not/exist'), { code: 'not-found' });
});
