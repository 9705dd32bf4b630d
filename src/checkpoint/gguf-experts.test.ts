import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type GgufTensor, memorySink, openCheckpoint, writeGguf } from '../checkpoint.ts';
import { formatByName } from '../format.ts';

const f32 = formatByName('f32');

/** A matrix whose values count up from `first`. */
function matrix(name: string, first: number, shape: readonly number[] = [2, 3]): GgufTensor {
  const count = shape.reduce((product, size) => product * size, 1);
  const data = new Uint8Array(Float32Array.from({ length: count }, (_, i) => first + i).buffer);
  return { name, format: f32, shape, data };
}

async function open(tensors: readonly GgufTensor[]) {
  const sink = memorySink();
  await writeGguf(sink, { metadata: { 'general.architecture': 'llama' }, tensors });
  return openCheckpoint(sink.bytes());
}

test('matrices of experts in tensors of their own read as one stack, in the order of their numbers', async () => {
  const checkpoint = await open([
    matrix('a', 100),
    matrix('blk.0.ffn_up.1.weight', 6),
    matrix('blk.0.ffn_down.0.weight', 50),
    matrix('b', 200),
    matrix('blk.0.ffn_up.0.weight', 0),
    matrix('blk.0.ffn_up.weight', 300),
  ]);
  const names = ['a', 'blk.0.ffn_up_exps.weight', 'blk.0.ffn_down_exps.weight', 'b', 'blk.0.ffn_up.weight'];
  assert.deepEqual([...checkpoint.tensors.keys()], names);
  const stack = checkpoint.tensors.get('blk.0.ffn_up_exps.weight');
  assert.ok(stack);
  assert.deepEqual([stack.shape, stack.byteLength], [[2, 2, 3], 48]);
  for (const [first, count] of [
    [0, 12],
    [4, 5],
    [7, 3],
  ] as const) {
    const target = new Uint8Array(4 * count);
    await checkpoint.read(stack, 4 * first, target);
    const wanted = Array.from({ length: count }, (_, i) => first + i);
    assert.deepEqual([...new Float32Array(target.buffer)], wanted);
  }
});

test('a stack that is not whole is refused', async () => {
  for (const [tensors, message] of [
    [
      [matrix('blk.0.ffn_up.0.weight', 0), matrix('blk.0.ffn_up.2.weight', 0)],
      /"blk\.0\.ffn_up_exps\.weight" that of expert 1 is missing/,
    ],
    [[matrix('blk.0.ffn_up.1.weight', 0)], /expert 0 is missing/],
    [
      [matrix('blk.0.ffn_up.0.weight', 0), matrix('blk.0.ffn_up.1.weight', 0, [3, 2])],
      /"blk\.0\.ffn_up\.1\.weight" is f32 of shape \[3, 2\], but/,
    ],
    [
      [matrix('blk.0.ffn_up.0.weight', 0), matrix('blk.0.ffn_up_exps.weight', 0)],
      /"blk\.0\.ffn_up_exps\.weight" are in tensors of their own, too/,
    ],
  ] as const) {
    await assert.rejects(open(tensors), { code: 'bad-file', message });
  }
});
