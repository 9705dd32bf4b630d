import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MetadataValue } from '../checkpoint.ts';
import { MetadataMap } from './metadata.ts';

const metadata = new MetadataMap(
  'tiny.gguf',
  new Map<string, MetadataValue>([
    ['text', 'abc'],
    ['zero', 0],
    ['infinite', Number.POSITIVE_INFINITY],
    ['large', 2n ** 60n],
    ['no', false],
    ['words', ['a', 'b']],
    ['nothing', []],
    ['floats', Float32Array.of(1, 2)],
    ['counts', BigUint64Array.of(1n, 2n ** 40n)],
    ['huge', BigInt64Array.of(2n ** 60n)],
    ['flags', [true, false]],
    ['evil\nkey\u009b', 1],
  ]),
);

test('values come back by kind, and fallbacks only where the key is absent', () => {
  assert.equal(metadata.string('text'), 'abc');
  assert.equal(metadata.string('absent', 'x'), 'x');
  assert.equal(metadata.number('zero', 7), 0);
  assert.equal(metadata.number('absent', 7), 7);
  assert.equal(metadata.boolean('no', true), false);
  assert.equal(metadata.boolean('absent', true), true);
  assert.deepEqual(metadata.strings('words'), ['a', 'b']);
  assert.deepEqual(metadata.strings('nothing'), []);
  assert.equal(metadata.has('zero'), true);
  assert.equal(metadata.has('absent'), false);
});

test('numeric arrays of every width are numbers', () => {
  assert.deepEqual(Array.from(metadata.numbers('floats') ?? []), [1, 2]);
  assert.deepEqual(Array.from(metadata.numbers('counts') ?? []), [1, 2 ** 40]);
  assert.deepEqual(Array.from(metadata.numbers('nothing') ?? [0]), []);
  assert.equal(metadata.numbers('absent'), undefined);
});

test('failures name file and key in one line', () => {
  const failures: readonly (readonly [() => unknown, RegExp])[] = [
    [() => metadata.string('absent'), /tiny\.gguf.*"absent" is missing, a string/],
    [() => metadata.string('zero', 'x'), /"zero" is the number 0, a string/],
    [() => metadata.number('text', 1), /"text" is the string "abc", a finite number/],
    [() => metadata.number('infinite'), /"infinite" is the number Infinity/],
    [() => metadata.number('large'), /"large" is the bigint 1152921504606846976/],
    [() => metadata.boolean('zero'), /"zero" is the number 0, a boolean/],
    [() => metadata.strings('absent'), /"absent" is missing, an array of strings/],
    [() => metadata.strings('floats'), /"floats" is an array of 2, an array of strings/],
    [() => metadata.strings('flags'), /"flags" is an array of 2/],
    [() => metadata.numbers('words'), /"words" is an array of 2, an array of numbers/],
    [() => metadata.numbers('zero'), /"zero" is the number 0, an array of numbers/],
    [() => metadata.numbers('huge'), /"huge".*up to 2\^53/],
    [() => metadata.string('evil\nkey\u009b'), /^[ -~]*"evil\\nkey\\u009b"[ -~]*$/],
  ];
  for (const [lookUp, message] of failures) assert.throws(lookUp, { code: 'bad-file', message });
});
