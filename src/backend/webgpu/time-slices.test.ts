/** Slices of a program follow from what the device takes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TimeSlices } from './time-slices.ts';

/** Runs launches on a device that takes so many milliseconds per unit of work; gives the milliseconds of each slice. */
function slicesOn(slices: TimeSlices, msPerWork: number, works: readonly number[]): number[] {
  const taken: number[] = [];
  for (let start = 0; start < works.length; ) {
    const end = slices.end(works, start);
    const work = works.slice(start, end).reduce((sum, one) => sum + one, 0);
    taken.push(work * msPerWork);
    slices.took(work, work * msPerWork);
    start = end;
  }
  return taken;
}

const layers = Array.from({ length: 200 }, () => 2e7);

test('a slow device gets as much as fits the budget once it is known', () => {
  const taken = slicesOn(new TimeSlices(8), 1e-7, layers);
  assert.ok(
    taken.slice(1).every((ms) => ms <= 8 && ms > 0),
    `${taken}`,
  );
  assert.ok(taken.length > 40);
});

test('a quick device gets everything in few slices', () => {
  assert.ok(slicesOn(new TimeSlices(8), 1e-9, layers).length <= 5);
});

test('a device that becomes slow is given less after one slice', () => {
  const slices = new TimeSlices(8);
  slicesOn(slices, 1e-9, layers);
  const [first = 0, second = 0] = slicesOn(slices, 1e-6, layers);
  assert.ok(first > 100 && second < 21, `${first}, then ${second}`);
});

test('a launch that is too large by itself goes alone', () => {
  const slices = new TimeSlices(1);
  slices.took(1e6, 100);
  assert.equal(slices.end([1e9, 1e9], 0), 1);
});

test("the device's own clock goes before the time of waiting, unless it says more than was waited for", () => {
  const told = new TimeSlices(8);
  told.took(1e8, 50, 4);
  assert.equal(told.workPerSlice, 2e8);
  const disbelieved = new TimeSlices(8);
  disbelieved.took(1e8, 4, 5000);
  assert.equal(disbelieved.workPerSlice, 2e8);
});
