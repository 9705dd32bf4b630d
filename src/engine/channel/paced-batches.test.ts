import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacedBatches } from './paced-batches.ts';

function numbers(): { batches: PacedBatches<number>; sent: (readonly number[])[] } {
  const sent: (readonly number[])[] = [];
  return { batches: new PacedBatches<number>((batch) => sent.push(batch)), sent };
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

test('an item goes at once unless one went just before; what comes within a frame goes together', async () => {
  const { batches, sent } = numbers();
  batches.push(0);
  assert.deepEqual(sent, [[0]]);
  batches.taken();
  for (let item = 1; item < 4; item++) batches.push(item);
  assert.deepEqual(sent, [[0]]);
  await pause(40);
  assert.deepEqual(sent, [[0], [1, 2, 3]], 'nothing has to follow');
  batches.taken();
  await pause(40);
  batches.push(4);
  assert.deepEqual(sent.at(-1), [4]);
});

test('items gather while the reader is behind, and none is lost or reordered', async () => {
  const { batches, sent } = numbers();
  for (let item = 0; item < 6; item++) {
    batches.push(item);
    if (item < 2) await pause(40);
  }
  assert.deepEqual(sent, [[0], [1]]);
  batches.taken();
  await pause(40);
  assert.deepEqual(sent, [[0], [1], [2, 3, 4, 5]]);
  batches.push(6);
  batches.flush();
  await pause(40);
  assert.deepEqual(sent, [[0], [1], [2, 3, 4, 5], [6]]);
});

test('the writer waits when it is far ahead, until the reader takes, leaves or the end is near', async () => {
  for (const [how, expected] of [
    ['taken', true],
    ['release', true],
    ['leave', false],
  ] as const) {
    const { batches } = numbers();
    let pushed = 0;
    let goesOn = true;
    const writer = (async () => {
      while (goesOn && pushed < 1000) {
        batches.push(pushed++);
        goesOn = await batches.room();
        if (pushed > 200) break;
      }
    })();
    await new Promise((resolve) => setImmediate(resolve));
    const ahead = pushed;
    assert.ok(ahead > 2 && ahead < 200, `${ahead} items ahead`);
    batches[how]();
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(goesOn, expected, how);
    assert.equal(pushed > ahead, expected, how);
    batches.release();
    await writer;
  }
});
