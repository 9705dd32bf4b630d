import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addLogitBias, addText, byteCount, realNumber, wholeNumber, wholeNumbers } from './option-values.ts';

const refuses = (parse: () => unknown) => assert.throws(parse, { code: 'commander.invalidArgument' });

test('whole numbers within their range', () => {
  assert.equal(wholeNumber()('12'), 12);
  assert.equal(wholeNumber({ least: -1 })('-1'), -1);
  for (const text of ['', '1.5', '1e3', 'x', '0x10', '-1', '9007199254740992'])
    refuses(() => wholeNumber()(text));
  refuses(() => wholeNumber({ most: 5 })('6'));
  assert.deepEqual(wholeNumbers()('1, 2,3'), [1, 2, 3]);
  for (const text of ['', '1,', '1;2']) refuses(() => wholeNumbers()(text));
});

test('numbers within their range', () => {
  assert.equal(realNumber()('-0.5'), -0.5);
  assert.equal(realNumber()('1e-3'), 0.001);
  for (const text of ['', 'x', 'NaN', 'Infinity']) refuses(() => realNumber()(text));
  refuses(() => realNumber({ least: 0, most: 1 })('1.01'));
});

test('bytes with and without a unit', () => {
  const sizes = { 5: 5, '2GiB': 2 ** 31, '1.5 GB': 1.5e9, '512m': 2 ** 29, '1k': 1024, '3B': 3 };
  for (const [text, bytes] of Object.entries(sizes)) assert.equal(byteCount(text), bytes);
  for (const text of ['', 'GiB', '-1', '1XB', '1e400', '9e9TB']) refuses(() => byteCount(text));
});

test('lists grow', () => {
  const biases = addLogitBias('7=-inf', addLogitBias('42=1.5', undefined));
  assert.deepEqual(
    [...biases],
    [
      [42, 1.5],
      [7, Number.NEGATIVE_INFINITY],
    ],
  );
  for (const text of ['7', '7=', '=1', 'a=1', '7=x', '7=inf']) refuses(() => addLogitBias(text, undefined));
  assert.deepEqual(addText('b', addText('a', undefined)), ['a', 'b']);
  refuses(() => addText('', undefined));
});
