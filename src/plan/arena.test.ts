import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uniformAt } from '../base/random.ts';
import { addDims, type Dim, evaluateDim, maximumDim, multiplyDims, symbolDim } from '../tensor.ts';
import { type BufferRequest, layOutArena } from './arena.ts';

const T = symbolDim({ name: 'T', index: 0, min: 1, max: 100 });
const R = symbolDim({ name: 'R', index: 1, min: 0, max: 20 });
const samples = [1, 2, 7, 50, 100].flatMap((rows) => [0, 1, 5, 20].map((selected) => [rows, selected]));

const request = (bytes: Dim, first: number, last: number, takesOver?: number): BufferRequest => ({
  bytes,
  first,
  last,
  takesOver,
});

test('a slot is used again once its buffer is done', () => {
  const rows = multiplyDims(T, 64);
  const { places, bytes } = layOutArena([request(rows, 0, 1), request(rows, 1, 2), request(rows, 2, 3)], 64);
  assert.deepEqual(
    places.map((place) => place.slot),
    [0, 1, 0],
  );
  assert.equal(`${bytes}`, '128·T');
});

test('a buffer goes to the tightest slot that provably holds it, else grows the largest that it provably exceeds', () => {
  const sizes = [512, 128, 256].map((width) => multiplyDims(T, width));
  const requests = sizes.map((bytes) => request(bytes, 0, 0));
  const held = layOutArena([...requests, request(multiplyDims(T, 192), 1, 1)], 64);
  assert.equal(held.places[3]?.slot, 2);
  assert.equal(`${held.bytes}`, '896·T');
  const grown = layOutArena([...requests, request(multiplyDims(T, 1024), 1, 1)], 64);
  assert.equal(grown.places[3]?.slot, 0);
  assert.equal(`${grown.bytes}`, '1408·T');
});

test('where no order is proved the slot takes the maximum', () => {
  const { places, bytes } = layOutArena(
    [request(multiplyDims(T, 64), 0, 0), request(multiplyDims(R, 512), 1, 1)],
    64,
  );
  assert.deepEqual(
    places.map((place) => place.slot),
    [0, 0],
  );
  assert.equal(`${bytes}`, 'max(512·R, 64·T)');
});

test('a buffer that takes over keeps the slot busy until its own end', () => {
  const rows = multiplyDims(T, 64);
  const { places } = layOutArena([request(rows, 0, 1), request(rows, 1, 3, 0), request(rows, 2, 3)], 64);
  assert.deepEqual(
    places.map((place) => place.slot),
    [0, 0, 1],
  );
});

test('random requests: what lives at the same time never overlaps, whatever the symbols', () => {
  let position = 0;
  const draw = (limit: number) => Math.floor(uniformAt(11, position++) * limit);
  const size = (): Dim => {
    const [t, r] = [multiplyDims(T, 1 + draw(300)), multiplyDims(R, 1 + draw(3000))];
    return [t, r, addDims(t, r), maximumDim(t, r), 1 + draw(5000)][draw(5)] ?? t;
  };
  for (let trial = 0; trial < 60; trial++) {
    const alignment = [1, 8, 64, 256][draw(4)] ?? 1;
    const requests: BufferRequest[] = [];
    const taken = new Set<number>();
    for (let first = 0; first < 20; first++) {
      for (let count = draw(3); count > 0; count--) {
        const source = requests.findIndex(
          (other, index) => other.last === first && other.first < first && !taken.has(index),
        );
        const takesOver = source >= 0 && draw(2) === 0 ? source : undefined;
        if (takesOver !== undefined) taken.add(takesOver);
        requests.push(request(size(), first, first + draw(6), takesOver));
      }
    }
    const layout = layOutArena(requests, alignment);
    for (const symbols of samples) {
      const placed = requests.map((wanted, index) => {
        const start = evaluateDim(layout.places[index]?.offset ?? Number.NaN, symbols);
        return { ...wanted, start, end: start + evaluateDim(wanted.bytes, symbols) };
      });
      placed.forEach((a, index) => {
        assert.ok(a.start % alignment === 0 && a.end <= evaluateDim(layout.bytes, symbols));
        placed.slice(index + 1).forEach((b, later) => {
          // The one that takes over begins in the kernel that ends the other.
          const handedOver = b.takesOver === index;
          const together = a.first <= b.last && b.first <= a.last && !handedOver;
          assert.ok(
            !together || a.end <= b.start || b.end <= a.start,
            `requests ${index} and ${index + 1 + later} overlap at ${symbols}`,
          );
        });
      });
    }
  }
});
