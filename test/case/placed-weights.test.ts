/** Weights packed piece by piece into regions, read back and put elsewhere, under the case table: as if they were packed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Backend,
  type BackendName,
  openBackend,
  type PackedWeight,
  type Region,
} from '../../src/backend.ts';
import { evaluateDim } from '../../src/tensor.ts';
import { opCases } from './op-cases.ts';
import { runCase } from './run-cases.ts';

/** Packs in two pieces into a region, in reverse order, and gives a weight over a copy of its bytes in another region. */
function throughRegions(base: Backend): Backend {
  const regions = new Map<PackedWeight, Region>();
  const { alignmentBytes, packedBytes, packedRows } = base.describe();
  return {
    ...{ name: base.name, threads: base.threads },
    describe: () => base.describe(),
    allocate: (byteLength, purpose) => base.allocate(byteLength, purpose),
    release: (region) => base.release(region),
    write: (region, offsetBytes, bytes) => base.write(region, offsetBytes, bytes),
    read: (region, offsetBytes, target) => base.read(region, offsetBytes, target),
    async pack(type, read, signal) {
      const byteLength = packedBytes(type);
      const first = base.allocate(byteLength, 'packed');
      const placed = base.place(type, first, 0);
      const rowCount = type.shape.slice(0, -1).reduce<number>((rows, dim) => rows * evaluateDim(dim, []), 1);
      const rowBytes =
        (evaluateDim(type.shape.at(-1) ?? 0, []) / type.format.blockValues) * type.format.blockBytes;
      // Of matrices one behind the other each begins a group.
      const step = type.shape.length > 2 ? evaluateDim(type.shape.at(-2) ?? 1, []) : packedRows;
      const half = Math.ceil(rowCount / 2 / step) * step;
      const pieces = [
        { from: half, count: rowCount - half },
        { from: 0, count: Math.min(half, rowCount) },
      ];
      for (const { from, count } of pieces) {
        if (count <= 0) continue;
        const readPiece: typeof read = (offset, target) => read(from * rowBytes + offset, target);
        await base.packRows(placed, from, count, readPiece, signal);
      }
      const bytes = new Uint8Array(byteLength);
      await base.read(first, 0, bytes);
      const second = base.allocate(3 * alignmentBytes + byteLength, 'copied');
      const middle = Math.floor(byteLength / 2);
      const copy = (from: number, to: number) =>
        base.fill(second, 3 * alignmentBytes + from, to - from, async (target) =>
          target.set(bytes.subarray(from, to)),
        );
      await Promise.all([copy(0, middle), copy(middle, byteLength)]);
      base.release(first);
      const weight = base.place(type, second, 3 * alignmentBytes);
      assert.equal(weight.byteLength, byteLength);
      regions.set(weight, second);
      return weight;
    },
    unpack(weight) {
      const region = regions.get(weight);
      assert.ok(region && regions.delete(weight));
      base.release(region);
    },
    place: (type, region, offsetBytes) => base.place(type, region, offsetBytes),
    packRows: (weight, firstRow, rowCount, read) => base.packRows(weight, firstRow, rowCount, read),
    fill: (region, offsetBytes, byteLength, read) => base.fill(region, offsetBytes, byteLength, read),
    prepare: (segment, plan) => base.prepare(segment, plan),
    submit: (program, bindings, symbols, ticket) => base.submit(program, bindings, symbols, ticket),
    memory: () => base.memory(),
    close: () => base.close(),
  };
}

const machines: readonly { name: BackendName; threads?: number; memories?: number }[] = [
  { name: 'reference' },
  { name: 'wasm', threads: 2 },
  { name: 'wasm', threads: 1, memories: 2 },
];

for (const { name, ...options } of machines) {
  test(`${name} ${JSON.stringify(options)}: weights placed in regions compute as packed ones`, async () => {
    const backend = await openBackend(name, options);
    try {
      for (const opCase of opCases.filter((each) =>
        /^(embed|rms-norm|layers|matmul \S+ of values)/.test(each.name),
      )) {
        const { problems } = await runCase(throughRegions(backend), opCase);
        assert.deepEqual(problems, [], opCase.name);
      }
      assert.deepEqual(backend.memory(), { weightBytes: 0, regionBytes: 0 });
    } finally {
      await backend.close();
    }
  });
}
