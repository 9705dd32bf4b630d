import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TimeLeft } from './time-left.ts';
import { fileNameOf, sayBytes, sayCount, sayRate, sayRoughRate, sayTimeLeft } from './words.ts';

test('numbers in words', () => {
  assert.deepEqual([0, 999, 1000, 4_560_544, 999_600, 12_345_678_901].map(sayBytes), [
    '0 bytes',
    '999 bytes',
    '1.0 kB',
    '4.6 MB',
    '1.0 MB',
    '12 GB',
  ]);
  assert.deepEqual([0.04, 9.94, 9.96, 506.4].map(sayRate), [
    '0.0 tokens/s',
    '9.9 tokens/s',
    '10 tokens/s',
    '506 tokens/s',
  ]);
  assert.deepEqual([4167, 3.0625].map(sayRoughRate), ['4,200 tokens/s', '3.1 tokens/s']);
  assert.deepEqual([12, 4_196_608, 8e9].map(sayCount), ['12', '4.2 M', '8.0 B']);
  assert.deepEqual([1, 12, 70, 400, 9000].map(sayTimeLeft), [
    'a few seconds left',
    'about 15 s left',
    'about a minute left',
    'about 7 minutes left',
    'about 2.5 hours left',
  ]);
  assert.equal(fileNameOf('https://host/a/b.gguf?download=true#x'), 'b.gguf');
  assert.equal(fileNameOf('C:\\models\\b.gguf'), 'b.gguf');
});

test('the time left follows the speed of late, and is silent at first', () => {
  const timeLeft = new TimeLeft(0, 500);
  assert.equal(timeLeft.update(900, 1400, 10_000), undefined);
  for (let second = 1; second <= 5; second++) timeLeft.update(second * 1000, 500 + second * 1000, 100_000);
  assert.equal(Math.round(timeLeft.bytesPerSecond ?? 0), 1000);
  for (let second = 6; second <= 40; second++) timeLeft.update(second * 1000, second * 10_000, 1e6);
  assert.ok(Math.abs((timeLeft.update(40_000, 400_000, 1e6) ?? 0) - 60) < 3);
  const stalled = new TimeLeft(0, 0);
  for (let second = 1; second < 9; second++) assert.equal(stalled.update(second * 1000, 0, 1000), undefined);
});
