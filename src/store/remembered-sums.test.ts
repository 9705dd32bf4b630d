import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checksum } from '../base/checksum.ts';
import { RememberedSums } from './remembered-sums.ts';

const sectorBytes = 512;
const content = Uint8Array.from({ length: 40 * sectorBytes + 20 }, (_, index) => (index * 7) ^ (index >> 6));

function summed(bytes: Uint8Array): number[] {
  const sums = new Uint32Array(2);
  checksum(bytes, sums, 0);
  return [...sums];
}

/** The content with other bytes from `start` to `end`. */
function changed(start: number, end: number): Uint8Array {
  const bytes = content.slice();
  for (let at = start; at < end; at++) bytes[at] = (bytes[at] ?? 0) ^ 0x5a;
  return bytes;
}

test('a piece is summed from end to end the first time, and whenever the file may be another', () => {
  const sums = new RememberedSums();
  assert.deepEqual([...sums.of(0, content, 'a')], summed(content));
  const oneBit = changed(700, 701);
  for (const stamp of ['b', undefined, 'b']) {
    assert.deepEqual([...sums.of(0, oneBit, stamp)], summed(oneBit), stamp);
    assert.deepEqual([...sums.of(0, content, undefined)], summed(content));
  }
  assert.deepEqual([...sums.of(4096, content, 'b')], summed(content), 'another piece');
  assert.deepEqual([...sums.of(0, content.subarray(0, 4096), 'b')], summed(content.slice(0, 4096)));
});

test('while the file is the same, a sector that is another is noticed wherever it lies', () => {
  const sums = new RememberedSums();
  sums.of(0, content, 'a');
  const whole = summed(content);
  assert.deepEqual([...sums.of(0, content, 'a')], whole);
  for (let sector = 0; sector <= 40; sector++) {
    const other = changed(sector * sectorBytes, Math.min(content.length, (sector + 1) * sectorBytes));
    assert.deepEqual([...sums.of(0, other, 'a')], summed(other), `sector ${sector}`);
    assert.deepEqual([...sums.of(0, content, 'a')], whole);
  }
  // The rest of a sector is not looked at again: this is what makes it fast.
  const unseen = Array.from({ length: sectorBytes }, (_, at) => {
    sums.of(0, content, 'a');
    return sums.of(0, changed(at, at + 1), 'a')[0];
  });
  assert.ok(unseen.filter((sum) => sum === whole[0]).length > sectorBytes - 16);
});
