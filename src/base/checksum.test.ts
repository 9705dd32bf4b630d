import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checksum } from './checksum.ts';

function sumOf(bytes: Uint8Array): string {
  const target = new Uint32Array(3);
  checksum(bytes, target, 1);
  assert.equal(target[0], 0);
  return `${target[1]} ${target[2]}`;
}

const sample = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 37 + (i >> 3)) & 255);

test("a changed bit, a missing end and two words in each other's place are noticed", () => {
  const bytes = sample(103);
  const whole = sumOf(bytes);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const changed = bytes.slice();
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.notEqual(sumOf(changed), whole, `bit ${bit}`);
  }
  const lengths = new Set(Array.from({ length: 104 }, (_, length) => sumOf(bytes.slice(0, length))));
  assert.equal(lengths.size, 104);
  for (let word = 4; word < 100; word += 4) {
    const swapped = bytes.slice();
    swapped.copyWithin(0, word, word + 4);
    swapped.set(bytes.subarray(0, 4), word);
    assert.notEqual(sumOf(swapped), whole, `words 0 and ${word / 4}`);
  }
});

test('two flips of the same bit in one lane do not cancel', () => {
  for (let bit = 0; bit < 32; bit++) {
    const words = new Uint32Array(64);
    const before = sumOf(new Uint8Array(words.buffer));
    words[8] = (1 << bit) >>> 0;
    words[12] = (1 << bit) >>> 0;
    assert.notEqual(sumOf(new Uint8Array(words.buffer)), before);
  }
});

test('it is the same for shared memory, and stays what it was', () => {
  const shared = new Uint8Array(new SharedArrayBuffer(1000));
  shared.set(sample(1000));
  assert.equal(sumOf(shared), sumOf(sample(1000)));
  // Sidecars written earlier are read by it.
  assert.equal(sumOf(sample(1000)), '2621531227 552245317');
  assert.equal(sumOf(new Uint8Array(0)), '391866676 480090582');
});
