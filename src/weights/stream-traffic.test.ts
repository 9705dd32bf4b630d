import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { TrafficMeter } from './stream-traffic.ts';

/** A meter whose clock stands where the test puts it. */
function openMeter() {
  const clock = { nowMs: 0 };
  mock.method(performance, 'now', () => clock.nowMs);
  const at = (nowMs: number): void => {
    clock.nowMs = nowMs;
  };
  return { meter: new TrafficMeter(), at };
}

test('time is counted once, however many reads overlap, and apart from what waited in a line', (t) => {
  const { meter, at } = openMeter();
  t.after(() => mock.restoreAll());
  at(10);
  const [a, b] = [meter.beginRead(), meter.beginRead()];
  at(20);
  meter.beginCompute();
  at(30);
  meter.endRead(a, 100);
  at(40);
  meter.endCompute();
  at(50);
  // The second was read from 30 to 50 only.
  meter.endRead(b, 100, 30, 50);
  assert.deepEqual(
    { ...meter.traffic },
    { passes: 0, bytesRead: 200, readMs: 40, computeMs: 20, bothMs: 20, repairedBlocks: 0, rowGroupsRead: 0 },
  );
});

test('what is under way counts when it is over, whenever one asks', (t) => {
  const { meter, at } = openMeter();
  t.after(() => mock.restoreAll());
  const read = meter.beginRead();
  at(5);
  meter.beginCompute();
  at(15);
  meter.endCompute();
  assert.equal(meter.traffic.computeMs, 0, 'a read since 0 may still turn out to have overlapped');
  meter.beginCompute();
  at(25);
  meter.endRead(read, 1);
  meter.endCompute();
  const { readMs, computeMs, bothMs } = meter.traffic;
  assert.deepEqual({ readMs, computeMs, bothMs }, { readMs: 25, computeMs: 20, bothMs: 20 });
});

test('many spans come to the same as few', (t) => {
  const { meter, at } = openMeter();
  t.after(() => mock.restoreAll());
  for (let round = 0; round < 5000; round++) {
    at(round * 10);
    const read = meter.beginRead();
    at(round * 10 + 2);
    meter.beginCompute();
    at(round * 10 + 6);
    meter.endRead(read, 1);
    at(round * 10 + 9);
    meter.endCompute();
  }
  const { readMs, computeMs, bothMs } = meter.traffic;
  assert.deepEqual({ readMs, computeMs, bothMs }, { readMs: 30_000, computeMs: 35_000, bothMs: 20_000 });
});
