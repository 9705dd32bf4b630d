import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Backend, PackedWeight } from '../backend.ts';
import { openBudget } from '../base/budget.ts';
import { known, NearfieldError } from '../base/error.ts';
import type { Checkpoint, TensorEntry } from '../checkpoint.ts';
import type { NumberFormat } from '../format.ts';
import type { WeightValue } from '../graph.ts';
import type { Segment } from '../plan.ts';
import { evaluateDim, type TensorType, tensorBytes } from '../tensor.ts';
import { loadWeights } from '../weights.ts';

const bytes: NumberFormat = { name: 'bytes', blockValues: 1, blockBytes: 1, decode: () => {} };

const byteCount = (type: TensorType): number => evaluateDim(tensorBytes(type), []);

const weight = (id: number, size = 100): WeightValue => ({
  id,
  name: `blk.${id}`,
  kind: 'weight',
  type: { format: bytes, shape: [2, size / 2] },
  ...{ tensor: `blk.${id}`, firstRow: 0, rowCount: 2 },
});

/** Tensors lie in the file in the reverse order of the weights. */
function openFile(weights: readonly WeightValue[], read?: Checkpoint['read']) {
  const reads: string[] = [];
  const entries = weights.map(({ name, type }, index): TensorEntry => {
    const byteLength = byteCount(type);
    return { name, ...type, byteLength, part: 0, byteOffset: (weights.length - index) * 1000 };
  });
  const checkpoint = {
    name: 'test.gguf',
    tensors: new Map(entries.map((entry) => [entry.name, entry])),
    async read(
      entry: TensorEntry,
      offset: number,
      target: Uint8Array,
      signal?: AbortSignal,
      last?: TensorEntry,
    ) {
      reads.push(entry.name);
      assert.equal(last, entries[0], 'the last of the file');
      await (read ?? (async () => {}))(entry, offset, target, signal);
      target.fill(Number(entry.name.slice(4)));
    },
  } as unknown as Checkpoint;
  return { checkpoint, reads };
}

/** Estimates 900 bytes more than a weight takes once packed. */
function openPacker() {
  const living = new Map<PackedWeight, Uint8Array>();
  let [inFlight, mostInFlight] = [0, 0];
  const backend = {
    describe: () => ({
      packedBytes: (type: TensorType) => byteCount(type) + 900,
    }),
    async pack(type: WeightValue['type'], read: (offset: number, target: Uint8Array) => Promise<void>) {
      mostInFlight = Math.max(mostInFlight, ++inFlight);
      try {
        const byteLength = byteCount(type);
        const data = new Uint8Array(byteLength);
        const piece = Math.ceil(byteLength / 3);
        for (let offset = 0; offset < byteLength; offset += piece) {
          await read(offset, data.subarray(offset, offset + piece));
        }
        const packed: PackedWeight = { type, byteLength };
        living.set(packed, data);
        return packed;
      } finally {
        inFlight--;
      }
    },
    unpack(packed: PackedWeight) {
      assert.ok(living.delete(packed), 'unpacked once');
    },
  } as unknown as Backend;
  return { backend, living, inFlight: () => inFlight, mostInFlight: () => mostInFlight };
}

const names = (count: number): WeightValue[] => Array.from({ length: count }, (_, id) => weight(id));

test('weights are read in the order of the file, a few at a time, and bound by name', async () => {
  const weights = names(8);
  const { checkpoint, reads } = openFile(weights);
  const { backend, living, mostInFlight } = openPacker();
  const budget = openBudget(10_000);
  const progress: number[] = [];
  const loaded = await loadWeights({
    weights: [...weights, weight(3)],
    checkpoint,
    backend,
    budget,
    onProgress: ({ loadedBytes, totalBytes }) => {
      assert.equal(totalBytes, 800);
      progress.push(loadedBytes);
    },
  });
  const inFileOrder = weights.map(({ name }) => name).reverse();
  assert.deepEqual(
    reads,
    inFileOrder.flatMap((name) => [name, name, name]),
  );
  assert.ok(mostInFlight() >= 2 && mostInFlight() <= 3);
  assert.deepEqual(
    progress,
    [...progress].sort((a, b) => a - b),
  );
  assert.equal(progress.at(-1), 800);
  assert.deepEqual([loaded.packedBytes, budget.reservedBytes], [800, 800]);
  const segment = { weights: [weight(5), weight(2)] } as unknown as Segment;
  const bound = await loaded.bind(segment);
  assert.deepEqual(
    bound.map((packed) => living.get(packed)?.[99]),
    [5, 2],
  );
  assert.equal(loaded.bind(segment), bound);
  assert.throws(() => loaded.resident(weight(9)), { code: 'internal', message: /blk\.9/ });
  loaded.close();
  loaded.close();
  assert.deepEqual([living.size, budget.reservedBytes], [0, 0]);
  assert.throws(() => loaded.bind(segment), { code: 'internal' });
});

test('a budget too small is refused before anything is read, with what would fit', async () => {
  const weights = names(4);
  const { checkpoint, reads } = openFile(weights);
  const { backend, living } = openPacker();
  const budget = openBudget(3000);
  const refused = loadWeights({ weights, checkpoint, backend, budget });
  await assert.rejects(refused, {
    code: 'out-of-budget',
    message: /1000 bytes too little; a budget of 4000 bytes .* would do, or the same model at 60\.0 bits/,
  });
  assert.deepEqual([reads.length, living.size, budget.reservedBytes], [0, 0, 0]);
});

test('a failing read frees everything and is what the caller sees', async () => {
  const weights = names(9);
  const { checkpoint } = openFile(weights, async ({ name }, offset) => {
    if (name === 'blk.3' && offset > 0) throw new NearfieldError('io', 'the disk is gone');
  });
  const { backend, living, inFlight } = openPacker();
  const budget = openBudget(1e6);
  await assert.rejects(loadWeights({ weights, checkpoint, backend, budget }), {
    code: 'io',
    message: 'the disk is gone',
  });
  assert.deepEqual([living.size, budget.reservedBytes, inFlight()], [0, 0, 0]);
});

test('an abort in the middle frees everything and reads no further', async () => {
  const weights = names(9);
  const controller = new AbortController();
  const { checkpoint, reads } = openFile(weights, async ({ name }) => {
    if (name === 'blk.6') controller.abort();
  });
  const { backend, living, inFlight } = openPacker();
  const budget = openBudget(1e6);
  const options = { weights, checkpoint, backend, budget, signal: controller.signal };
  await assert.rejects(loadWeights(options), { code: 'aborted' });
  assert.deepEqual([living.size, budget.reservedBytes, inFlight()], [0, 0, 0]);
  assert.ok(!reads.includes('blk.0'));
  await assert.rejects(loadWeights(options), { code: 'aborted' });
});

test('tensors that are missing or of another type are named', async () => {
  const { checkpoint } = openFile([weight(0), weight(1, 50)]);
  const { backend } = openPacker();
  const load = (...weights: WeightValue[]) =>
    loadWeights({ weights, checkpoint, backend, budget: openBudget() });
  await assert.rejects(load(weight(0), weight(7)), { code: 'not-found', message: /test\.gguf.*blk\.7/ });
  await assert.rejects(load(weight(1)), {
    code: 'bad-file',
    message: 'test.gguf: blk.1 is bytes[2, 25], the model needs bytes[2, 50]',
  });
  const other = { ...weight(0), type: { ...weight(0).type, format: { ...bytes, name: 'other' } } };
  await assert.rejects(load(known(other, 'weight')), { code: 'bad-file' });
});
