import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatByName } from '../format.ts';
import { type Graph, GraphBuilder } from '../graph.ts';
import { addressablePages, type Capability, makePlan, type Plan, printPlan } from '../plan.ts';

const f32 = formatByName('f32');
const kilobyte = 1000;

const capabilityWith = (addressableBytes: number, mostMemories = 8): Capability => ({
  backend: 'test',
  alignmentBytes: 8,
  addressableBytes,
  mostMemories,
  overreadBytes: 0,
  packedRows: 1,
  packingBytes: () => 0,
  packedLayout: 'test',
  programBytes: () => 0,
  form: { name: 'single', blockValues: 1, blockBytes: 4 },
  supports: () => true,
  patterns: [],
  reads: () => capabilityWith(0).form,
  writes: () => [capabilityWith(0).form],
  cacheBlockBytes: () => kilobyte,
  cachePageRows: () => 128,
  packedBytes: ({ shape }) => shape.reduce<number>((product, size) => product * Number(size), 1) * kilobyte,
  roundoff: () => ({ unit: 0, operand: 0, operandGroup: 1, weight: 0, elementary: 0 }),
});

/** A table of 9 kB, layers of `sizes` kB and a page of cache each, a head of 9 kB or the table again. */
function modelOf(sizes: readonly number[], tied = false): Graph {
  const builder = new GraphBuilder({ maxRows: 1, maxSelected: 1 });
  const table = builder.weight('table', f32, [9, 1]);
  let stream = builder.apply({ op: 'embed' }, [table], 'x');
  for (const [layer, size] of sizes.entries()) {
    builder.enterLayer(layer);
    const wide = builder.apply(
      { op: 'matmul' },
      [stream, builder.weight(`up${layer}`, f32, [size, 1])],
      'wide',
    );
    const spec = { layer, keyValueHeadCount: 1, keySize: size, valueSize: size };
    const state = builder.apply({ op: 'cache-write', ...spec }, [wide, wide], `cache${layer}`);
    const attended = builder.apply(
      { op: 'attention', ...spec, headCount: 1, scale: 1 },
      [wide, state],
      'attended',
    );
    const down = builder.weight(`down${layer}`, f32, [1, size]);
    stream = builder.apply(
      { op: 'add' },
      [stream, builder.apply({ op: 'matmul' }, [attended, down], 'y')],
      'sum',
    );
  }
  builder.enterLayer(undefined);
  const head = tied ? table : builder.weight('head', f32, [9, 1]);
  return builder.finish(stream, (selected) => builder.apply({ op: 'matmul' }, [selected, head], 'logits'));
}

const memoryOfLayers = ({ segments }: Plan): number[] => {
  const found: number[] = [];
  for (const { kernels, memory, stage } of segments) {
    for (const { nodes } of kernels) {
      const layer = nodes[0]?.layer;
      if (layer !== undefined && stage === 'body') found[layer] = memory;
    }
  }
  return found;
};

/** Room for so many kB of weights and cache beside the arena. */
function spread(graph: Graph, kilobytes: number, cacheRows: number | undefined, mostMemories = 8): Plan {
  const arena = 20 * kilobyte;
  const capability = capabilityWith(kilobytes * kilobyte + arena, mostMemories);
  return makePlan(graph, capability, cacheRows === undefined ? {} : { cacheRows });
}

test('what fits one memory stays there; without rows of cache to place everything does', () => {
  const graph = modelOf([5, 5, 5, 5]);
  for (const plan of [spread(graph, 1000, 1000), spread(graph, 10, undefined)]) {
    assert.deepEqual(memoryOfLayers(plan), [0, 0, 0, 0]);
    assert.deepEqual(plan.weightBytes, [58 * kilobyte]);
    assert.deepEqual(
      plan.segments.map(({ stage }) => stage),
      ['body', 'head', 'argmax', 'commit'],
    );
  }
});

test('layers are spread in order over the fewest memories that hold weights and cache', () => {
  const graph = modelOf(Array(8).fill(5));
  const two = spread(graph, 70, 128);
  assert.deepEqual(two.weightBytes.length, 2);
  const [first = 0, second = 0] = two.weightBytes;
  assert.equal(first + second, 98 * kilobyte);
  assert.ok(Math.abs(first - second) <= 11 * kilobyte, `${two.weightBytes}`);
  const places = memoryOfLayers(two);
  assert.deepEqual(places, [...places].sort());
  // Room for the same weights and more of the cache takes more memories.
  assert.ok(spread(graph, 70, 128 * 12).weightBytes.length > 2);
  const pages = addressablePages(two, capabilityWith(90 * kilobyte));
  assert.ok(pages >= 1);
});

test('what belongs to no layer is in memory 0, a tied table once', () => {
  for (const tied of [false, true]) {
    const plan = spread(modelOf([20, 20, 20], tied), 62, 128);
    assert.ok(plan.weightBytes.length > 1);
    const outside = plan.segments.filter(({ stage }) => stage === 'head' || stage === 'argmax');
    assert.ok(outside.every(({ memory }) => memory === 0));
    assert.equal(plan.segments[0]?.memory, 0);
    const total = plan.weightBytes.reduce((sum, bytes) => sum + bytes, 0);
    assert.equal(total, (120 + (tied ? 9 : 18)) * kilobyte);
    for (const { weights, memory } of plan.segments) {
      for (const weight of weights) assert.equal(plan.memoryOf(weight), memory);
    }
    const commits = plan.segments.filter(({ stage }) => stage === 'commit');
    assert.deepEqual(new Set(commits.map(({ memory }) => memory)), new Set(memoryOfLayers(plan)));
  }
});

test('a page holds in each memory the layers that are there', () => {
  const { cache } = spread(modelOf(Array(6).fill(5)), 44, 128);
  assert.ok(cache.partBytes.length > 1);
  assert.equal(cache.pageBytes, 6 * kilobyte);
  assert.equal(
    cache.partBytes.reduce((sum, bytes) => sum + bytes, 0),
    cache.pageBytes,
  );
  assert.equal(cache.strideBytes, Math.max(...cache.partBytes));
  for (const [index, layer] of cache.layers.entries()) {
    const before = cache.layers[index - 1];
    const continues = before !== undefined && layer.offsetBytes === before.offsetBytes + kilobyte;
    assert.ok(continues || layer.offsetBytes === 0);
    assert.equal(cache.of(layer.layer), layer);
  }
});

test('where no number of memories has room for all rows, there is room for some', () => {
  const graph = modelOf([5, 5, 5, 5]);
  const plan = spread(graph, 60, 128 * 1000, 2);
  const pages = addressablePages(plan, capabilityWith(80 * kilobyte));
  assert.ok(plan.weightBytes.length === 2 && pages >= 7 && pages < 1000, `${pages}`);
});

test('what no number of memories holds is one memory too full, for the caller to refuse', () => {
  const plan = spread(modelOf([90, 5]), 100, 128);
  assert.equal(plan.weightBytes.length, 1);
  assert.ok(addressablePages(plan, capabilityWith(120 * kilobyte)) < 1);
});

test('a printed plan tells the memories', () => {
  assert.match(printPlan(spread(modelOf([20, 20, 20]), 62, 128)), /^segment 1 \(body\) in memory 1: .*\n/m);
  assert.match(
    printPlan(spread(modelOf([20, 20, 20]), 62, 128)),
    /^memory 1: \d+ bytes of weights, \d+ bytes of a cache page$/m,
  );
  assert.doesNotMatch(printPlan(spread(modelOf([5]), 1000, 128)), /memory/);
});
