import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NumberFormat } from '../format.ts';
import { GraphBuilder } from '../graph.ts';
import { type Capability, makePlan, type Plan } from '../plan.ts';
import { type BudgetShares, decideResidency, type Residency } from './residency.ts';

const format: NumberFormat = { name: 'bytes', blockValues: 1, blockBytes: 1, decode: () => {} };
const width = 4096;

/** A weight takes a byte for each value, packing as much again for a whole matrix. */
const capability: Capability = {
  backend: 'test',
  alignmentBytes: 64,
  addressableBytes: Number.POSITIVE_INFINITY,
  mostMemories: 1,
  overreadBytes: 0,
  form: { name: 'single', blockValues: 1, blockBytes: 4 },
  supports: () => true,
  patterns: [],
  reads: () => capability.form,
  writes: () => [capability.form],
  cacheBlockBytes: () => 0,
  cachePageRows: () => 128,
  packedBytes: ({ shape }) => shape.reduce<number>((product, size) => product * Number(size), 1),
  packedLayout: 'test',
  packedRows: 16,
  packingBytes: ({ shape }) => (shape.length > 1 ? 1000 : 0),
  programBytes: () => 0,
  roundoff: () => ({ unit: 0, operand: 0, operandGroup: 1, weight: 0, elementary: 0 }),
};

/** Layers of `sizes` rows each, an embedding of 4000 rows, which is the head, too, where it is tied. */
function planOf(sizes: readonly number[], tied = false): Plan {
  const builder = new GraphBuilder({ maxRows: 64, maxSelected: 8 });
  const table = builder.weight('table', format, [4000, width]);
  let stream = builder.apply({ op: 'embed' }, [table], 'embedded');
  for (const [layer, rows] of sizes.entries()) {
    builder.enterLayer(layer);
    const wide = builder.apply(
      { op: 'matmul' },
      [stream, builder.weight(`up${layer}`, format, [rows, width])],
      'up',
    );
    const down = builder.weight(`down${layer}`, format, [width, rows]);
    stream = builder.apply({ op: 'matmul' }, [wide, down], 'down');
  }
  builder.enterLayer(undefined);
  const graph = builder.finish(stream, (selected) => {
    const head = tied ? table : builder.weight('head', format, [4000, width]);
    return builder.apply({ op: 'matmul' }, [selected, head], 'logits');
  });
  return makePlan(graph, capability, { cut: 'layers' });
}

const decide = (
  plan: Plan,
  limitBytes: number,
  shares: Partial<BudgetShares> = {},
  maxRows = 64,
): Residency =>
  decideResidency(plan, capability, maxRows, { limitBytes, heldBytes: 0, laterBytes: 0, ...shares });

/** The budget that the refusal of a far too small one names. */
function smallestFor(plan: Plan, shares: Partial<BudgetShares> = {}): number {
  try {
    decide(plan, 1000, shares);
  } catch (error) {
    const [, bytes] = /a memory budget of (\d+) bytes/.exec(String(error)) ?? [];
    return Number(bytes);
  }
  return assert.fail('a budget of 1000 bytes was enough');
}

const even = [100, 100, 100, 100, 100, 100];
const layerBytes = 2 * 100 * width;

test('more budget keeps more layers, never more than it holds, and reads the less', () => {
  const plan = planOf(even);
  const smallest = smallestFor(plan);
  let before: Residency | undefined;
  for (let limit = smallest; limit < smallest + 8 * layerBytes; limit += layerBytes / 4) {
    const found = decide(plan, limit);
    assert.ok(found.totalBytes <= limit && found.residentBytes <= found.totalBytes);
    assert.equal(found.resident.size + found.streamed.length, even.length);
    assert.equal(found.streamedBytes, found.streamed.length * layerBytes);
    assert.ok(
      found.resident.size >= (before?.resident.size ?? 0) &&
        found.slots >= Math.min(before?.slots ?? 1, found.streamed.length),
    );
    before = found;
  }
  assert.equal(before?.streamed.length, 1);
});

test('the smallest budget that is named is enough, and a byte less is not', () => {
  for (const shares of [{}, { heldBytes: 777_777, laterBytes: 50_000_000 }, { laterBytes: 10 }]) {
    const plan = planOf(even);
    const smallest = smallestFor(plan, shares);
    const found = decide(plan, smallest, shares);
    assert.deepEqual([found.slots, found.resident.size], [1, 0]);
    assert.throws(() => decide(plan, smallest - 1, shares), {
      code: 'out-of-budget',
      message: /streamed one layer at a time/,
    });
  }
});

test('a second slot comes before a resident layer, and those are spread evenly', () => {
  const plan = planOf(even);
  const smallest = smallestFor(plan);
  const two = decide(plan, smallest + layerBytes);
  assert.deepEqual([two.slots, two.resident.size], [2, 0]);
  const third = decide(plan, smallest + 4 * layerBytes);
  assert.deepEqual([third.slots, [...third.resident]], [2, [1, 3, 5]]);
  assert.deepEqual(third.streamed, [0, 2, 4]);
});

test('slots have the size of the largest layer that is streamed', () => {
  const plan = planOf([100, 300, 100, 50]);
  const found = decide(plan, smallestFor(plan));
  assert.equal(found.slotBytes, 2 * 300 * width);
  assert.deepEqual(
    found.units.map(({ name, byteLength }) => [name, byteLength]),
    [100, 300, 100, 50].map((rows, layer) => [`layer ${layer}`, 2 * rows * width]),
  );
});

test('of an embedding that nothing else reads a table of rows is kept, of another all', () => {
  const [untied, tied] = [planOf(even), planOf(even, true)].map((plan) => decide(plan, smallestFor(plan)));
  assert.deepEqual(untied?.gathered?.table, { groups: 64, rowsPerGroup: 16, byteLength: 64 * 16 * width });
  assert.deepEqual(
    untied?.kept.map(({ weight }) => weight.name),
    ['head'],
  );
  assert.equal(tied?.gathered, undefined);
  assert.deepEqual(
    tied?.kept.map(({ weight }) => weight.name),
    ['table'],
  );
  // Passes of more rows than the matrix has groups need all of it.
  const plan = planOf(even);
  const long = decide(plan, smallestFor(plan) + 5000 * width, {}, 512);
  assert.equal(long.gathered, undefined);
  assert.deepEqual(long.kept.map(({ weight }) => weight.name).sort(), ['head', 'table']);
});
