import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NearfieldError } from '../base/error.ts';
import { SlotRing } from './slot-ring.ts';

interface Read {
  readonly position: number;
  readonly slot: number;
  cancelled: boolean;
  finish(): void;
  fail(error: unknown): void;
}

/** A ring whose reads end when the test says so. */
function openRing(count: number, slots: number) {
  const reads: Read[] = [];
  const writing = new Set<number>();
  const ring = new SlotRing(count, slots, (position, slot) => {
    assert.ok(!writing.has(slot), `slot ${slot} is written to twice`);
    writing.add(slot);
    let read: Read | undefined;
    const done = new Promise<void>((resolve, reject) => {
      read = {
        ...{ position, slot, cancelled: false },
        finish() {
          writing.delete(slot);
          if (this.cancelled) reject(new NearfieldError('aborted', 'given up'));
          else resolve();
        },
        fail(error) {
          writing.delete(slot);
          reject(error);
        },
      };
      reads.push(read);
    });
    return {
      done,
      cancel() {
        if (read) read.cancelled = true;
      },
    };
  });
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  const finish = async (position: number) => {
    const index = reads.findIndex((read) => read.position === position);
    assert.ok(
      index >= 0,
      `${position} is not being read; on their way: ${reads.map((read) => read.position)}`,
    );
    reads.splice(index, 1)[0]?.finish();
    await settle();
  };
  const onTheirWay = () => reads.map(({ position }) => position);
  return { ring, reads, finish, onTheirWay, settle };
}

test('the layers to come are read while one is used, also those of the next pass', async () => {
  const { ring, finish, onTheirWay } = openRing(5, 2);
  assert.deepEqual(onTheirWay(), [0, 1]);
  const first = ring.take(0);
  await finish(0);
  const slotOfFirst = await first;
  await finish(1);
  const slotOfSecond = ring.take(1);
  assert.equal(typeof slotOfSecond, 'number');
  assert.deepEqual(onTheirWay(), []);
  ring.release(slotOfFirst);
  assert.deepEqual(onTheirWay(), [2]);
  ring.release(Number(slotOfSecond));
  assert.deepEqual(onTheirWay(), [2, 3]);
  for (const position of [2, 3, 4, 0, 1]) {
    await finish(position);
    ring.release(await ring.take(position));
  }
  assert.deepEqual(onTheirWay(), [2, 3]);
});

test('one slot is enough, and a use may wait before it is free', async () => {
  const { ring, finish, onTheirWay } = openRing(3, 1);
  await finish(0);
  const slot = await ring.take(0);
  const next = ring.take(1);
  assert.deepEqual(onTheirWay(), []);
  ring.release(slot);
  assert.deepEqual(onTheirWay(), [1]);
  await finish(1);
  ring.release(await next);
  assert.deepEqual(onTheirWay(), [2]);
});

test('a pass that begins anew gives up what was read ahead, and waits until nothing writes there', async () => {
  const { ring, reads, finish, onTheirWay } = openRing(6, 2);
  await finish(0);
  await finish(1);
  for (const position of [0, 1]) ring.release(await ring.take(position));
  assert.deepEqual(onTheirWay(), [2, 3]);
  const again = ring.take(0);
  assert.deepEqual(
    reads.map(({ cancelled }) => cancelled),
    [true, true],
  );
  await finish(3);
  assert.deepEqual(onTheirWay(), [2, 0]);
  await finish(2);
  assert.deepEqual(onTheirWay(), [0, 1]);
  await finish(0);
  ring.release(await again);
});

test('a failed read rejects who waits, and is tried again for who asks later', async () => {
  const { ring, reads, finish, onTheirWay, settle } = openRing(4, 2);
  const waiting = ring.take(0);
  reads.shift()?.fail(new NearfieldError('io', 'the disk is gone'));
  await assert.rejects(Promise.resolve(waiting), { code: 'io', message: 'the disk is gone' });
  // Nobody waits for layer 1: its failure is nobody's, and it is not read over and over.
  reads.shift()?.fail(new NearfieldError('io', 'still gone'));
  await settle();
  assert.deepEqual(onTheirWay(), [2]);
  const again = ring.take(1);
  assert.ok(onTheirWay().includes(1));
  await finish(1);
  ring.release(await again);
});

test('those who wait can be sent away; what is on its way still comes', async () => {
  const { ring, finish } = openRing(4, 1);
  const waiting = [ring.take(0), ring.take(2)];
  ring.abandon();
  for (const each of waiting) await assert.rejects(Promise.resolve(each), { code: 'aborted' });
  await finish(0);
  const later = ring.take(3);
  await finish(3);
  ring.release(await later);
});

test('closing waits for reads and refuses further uses', async () => {
  const { ring, reads, settle } = openRing(4, 2);
  const waiting = assert.rejects(Promise.resolve(ring.take(0)), { code: 'aborted' });
  let closed = false;
  const closing = ring.close().then(() => {
    closed = true;
  });
  await waiting;
  reads[0]?.finish();
  await settle();
  assert.equal(closed, false);
  reads[1]?.finish();
  await closing;
  assert.throws(() => ring.take(1), { code: 'internal' });
});

test('two that take turns in any order are both served', async () => {
  const { ring, reads, settle } = openRing(7, 2);
  let served = 0;
  const user = async (seed: number) => {
    for (let turn = 0; turn < 40; turn++) {
      const position = (turn * seed + (turn % 3)) % 7;
      const slot = await ring.take(position);
      await settle();
      served++;
      ring.release(slot);
    }
  };
  let isOver = false;
  const over = Promise.all([user(1), user(3)]).then(() => {
    isOver = true;
  });
  for (let turn = 0; !isOver && turn < 5000; turn++) {
    reads.splice(turn % Math.max(1, reads.length), 1)[0]?.finish();
    await settle();
  }
  assert.equal(served, 80);
  await over;
});
