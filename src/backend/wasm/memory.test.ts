import assert from 'node:assert/strict';
import { test } from 'node:test';
import { known } from '../../base/error.ts';
import { uniformAt } from '../../base/random.ts';
import { LinearMemory } from './memory.ts';

const mebibyte = 2 ** 20;

test('the same offset is found free in two memories, and only what is taken there is taken', () => {
  const [one, other] = [new LinearMemory(65536, true), new LinearMemory(65536, true)];
  const low = one.allocate(1000, 'low');
  other.allocate(3 * mebibyte, 'weights');
  const common = other.freeOffset(5000, one.freeOffset(5000, 0));
  assert.equal(one.freeOffset(5000, common), common);
  for (const memory of [one, other]) memory.allocateAt(common, 5000, 'common');
  const between = one.allocate(mebibyte, 'between');
  assert.ok(between > low && between + mebibyte <= common);
  one.release(common);
  one.allocateAt(common, 5000, 'again');
  assert.throws(() => one.allocateAt(common, 64, 'twice'), { code: 'internal' });
});

test('random allocations, at any offset that is free, never overlap and all come back', () => {
  let position = 0;
  const draw = (limit: number) => Math.floor(uniformAt(7, position++) * limit);
  const memory = new LinearMemory(65536, true, 64 * mebibyte);
  const whole = memory.freeOffset(1, 0);
  const taken = new Map<number, number>();
  for (let step = 0; step < 2000; step++) {
    if (draw(3) === 0 && taken.size > 0) {
      const offset = known([...taken.keys()][draw(taken.size)], 'offset');
      memory.release(offset);
      taken.delete(offset);
      continue;
    }
    const size = 1 + draw(100_000);
    const offset = memory.freeOffset(size, draw(2) === 0 ? 0 : 64 * draw(500_000));
    if (offset + size > 60 * mebibyte) continue;
    memory.allocateAt(offset, size, 'test');
    assert.equal(offset % 64, 0);
    for (const [start, length] of taken) assert.ok(offset + size <= start || start + length <= offset);
    taken.set(offset, size);
  }
  for (const offset of taken.keys()) memory.release(offset);
  assert.equal(memory.allocate(40 * mebibyte, 'all of it'), whole);
});

test('zeros are zeros where something was before, and beside it', () => {
  const memory = new LinearMemory(65536, true, 64 * mebibyte);
  const before = memory.allocate(1000, 'before');
  const dirty = memory.allocate(mebibyte, 'dirty');
  for (const [offset, size] of [
    [before, 1000],
    [dirty, mebibyte],
  ] as const) {
    memory.view(offset, size).fill(7);
  }
  memory.release(dirty);
  const whole = 9 * mebibyte;
  const offset = memory.freeOffset(whole, 0);
  assert.equal(offset, dirty);
  memory.allocateZerosAt(offset, whole, 'zeros');
  assert.ok(memory.view(offset, whole).every((byte) => byte === 0));
  assert.ok(memory.view(before, 1000).every((byte) => byte === 7));
  memory.view(offset, whole).fill(9);
  memory.release(offset);
  const [low, high] = [memory.freeOffset(500, 0), memory.freeOffset(700, 20 * mebibyte)];
  for (const place of [low, high]) memory.allocateZerosAt(place, 500, 'zeros');
  assert.ok([low, high].every((place) => memory.view(place, 500).every((byte) => byte === 0)));
});

test('a memory ends where it is told to', () => {
  const memory = new LinearMemory(65536, true, 2 * mebibyte);
  assert.ok(memory.roomBytes < 2 * mebibyte && memory.roomBytes > mebibyte);
  memory.allocate(mebibyte, 'weights');
  assert.throws(() => memory.allocate(mebibyte, 'more weights'), {
    code: 'out-of-budget',
    message:
      /^more weights needs 1048576 bytes, but a WebAssembly memory ends at 2\.0 MiB and \d+ bytes are used; [^\n]*$/,
  });
  memory.allocate(mebibyte / 2, 'what still fits');
});

test('a memory of 4 GiB may be filled to its last bytes', () => {
  const memory = new LinearMemory(65536, true);
  const size = 4 * 2 ** 30 - 4 * mebibyte;
  const offset = memory.allocate(size, 'weights');
  memory.view(offset + size - 8, 8).fill(7);
  assert.equal(memory.bytes[offset + size - 1], 7);
  assert.ok(offset + size < 2 ** 32);
  assert.throws(() => memory.allocate(8 * mebibyte, 'more'), { code: 'out-of-budget' });
});
