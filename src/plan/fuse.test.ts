import assert from 'node:assert/strict';
import { test } from 'node:test';
import { known } from '../base/error.ts';
import { formatByName } from '../format.ts';
import { type Graph, GraphBuilder, type GraphNode, type Value } from '../graph.ts';
import {
  type Capability,
  type FusionPattern,
  makePlan,
  type PlanOptions,
  type StorageForm,
} from '../plan.ts';

const wide: StorageForm = { name: 'wide', blockValues: 1, blockBytes: 8 };
const narrow: StorageForm = { name: 'narrow', blockValues: 1, blockBytes: 1 };

function capabilityWith(patterns: readonly FusionPattern[], changes: Partial<Capability> = {}): Capability {
  return {
    backend: 'test',
    alignmentBytes: 8,
    addressableBytes: Number.POSITIVE_INFINITY,
    mostMemories: 1,
    overreadBytes: 0,
    form: wide,
    supports: () => true,
    patterns,
    reads: () => wide,
    writes: () => [wide],
    cacheBlockBytes: () => 0,
    cachePageRows: () => 128,
    packedBytes: () => 0,
    packedLayout: 'test',
    programBytes: () => 0,
    packedRows: 1,
    packingBytes: () => 0,
    roundoff: () => ({ unit: 0, operand: 0, operandGroup: 1, weight: 0, elementary: 0 }),
    ...changes,
  };
}

/** Groups named nodes whenever their last one comes up. */
function pattern(name: string, ...members: readonly string[]): FusionPattern {
  return {
    name,
    match(root, view) {
      if (root.output.name !== members.at(-1)) return undefined;
      const found: GraphNode[] = [root];
      for (const node of found) {
        for (const input of node.inputs) {
          const producer = view.producer(input);
          if (producer && members.includes(producer.output.name) && !found.includes(producer))
            found.push(producer);
        }
      }
      return found.length === members.length ? found : undefined;
    },
  };
}

/** x → y = xWᵀ → z = y + x → n = norm(z) → sum = n + (early or late reading of y). */
function smallGraph(
  late: (nodes: { x: Value; y: Value; z: Value; n: Value }) => readonly [Value, Value],
): Graph {
  const builder = new GraphBuilder({ maxRows: 4, maxSelected: 4 });
  const f32 = formatByName('f32');
  const x = builder.apply({ op: 'embed' }, [builder.weight('table', f32, [9, 8])], 'x');
  const y = builder.apply({ op: 'matmul' }, [x, builder.weight('w', f32, [8, 8])], 'y');
  const z = builder.apply({ op: 'add' }, [y, x], 'z');
  const n = builder.apply({ op: 'rms-norm', epsilon: 1e-5 }, [z, builder.weight('scale', f32, [8])], 'n');
  const sum = builder.apply({ op: 'add' }, late({ x, y, z, n }), 'sum');
  return builder.finish(sum, (selected) => selected);
}

const chainGraph = () => smallGraph(({ n }) => [n, n]);

function kernelsOf(graph: Graph, capability: Capability, options: PlanOptions = {}): string[] {
  const [body] = makePlan(graph, capability, options).segments;
  return known(body, 'body').kernels.map(
    ({ pattern: name, nodes }) => `${name}(${nodes.map((node) => node.output.name)})`,
  );
}

test('without patterns every node is its own kernel', () => {
  assert.deepEqual(kernelsOf(chainGraph(), capabilityWith([])), [
    'embed(x)',
    'matmul(y)',
    'add(z)',
    'rms-norm(n)',
    'add(sum)',
  ]);
});

test('a pattern that fits makes one kernel where its last node stood; what vanishes has no buffer', () => {
  const graph = chainGraph();
  const capability = capabilityWith([pattern('product-add', 'y', 'z')]);
  assert.deepEqual(kernelsOf(graph, capability), ['embed(x)', 'product-add(y,z)', 'rms-norm(n)', 'add(sum)']);
  const plan = makePlan(graph, capability);
  assert.ok(!plan.buffers.some((buffer) => buffer.value.name === 'y'));
});

test('the pattern stated first wins', () => {
  const [small, large] = [pattern('small', 'z', 'n'), pattern('large', 'y', 'z', 'n')];
  assert.deepEqual(kernelsOf(chainGraph(), capabilityWith([large, small]))[1], 'large(y,z,n)');
  assert.deepEqual(kernelsOf(chainGraph(), capabilityWith([small, large])).slice(1, 3), [
    'matmul(y)',
    'small(z,n)',
  ]);
});

test('a node belongs to one group', () => {
  const both = capabilityWith([pattern('late', 'z', 'n'), pattern('early', 'y', 'z')]);
  assert.deepEqual(kernelsOf(chainGraph(), both).slice(1, 3), ['matmul(y)', 'late(z,n)']);
});

test('siblings share a kernel once', () => {
  const builder = new GraphBuilder({ maxRows: 4, maxSelected: 4 });
  const f32 = formatByName('f32');
  const x = builder.apply({ op: 'embed' }, [builder.weight('table', f32, [9, 8])], 'x');
  const [a, b, c] = ['a', 'b', 'c'].map((name) =>
    builder.apply({ op: 'matmul' }, [x, builder.weight(`w${name}`, f32, [8, 8])], name),
  ) as [Value, Value, Value];
  const sum = builder.apply({ op: 'add' }, [builder.apply({ op: 'add' }, [a, b], 'ab'), c], 'sum');
  const graph = builder.finish(sum, (selected) => selected);
  const first = known(graph.nodes[1], 'product a');
  const withFirst: FusionPattern = {
    name: 'pair',
    match: (root) => (root.operation.op === 'matmul' && root !== first ? [first, root] : undefined),
  };
  assert.deepEqual(kernelsOf(graph, capabilityWith([withFirst])).slice(1, 3), ['matmul(b)', 'pair(a,c)']);
});

test('a result that is read after the group keeps its buffer', () => {
  const graph = smallGraph(({ n, y }) => [n, y]);
  const plan = makePlan(graph, capabilityWith([pattern('group', 'y', 'z', 'n')]));
  const kernel = known(plan.segments[0]?.kernels[1], 'kernel');
  assert.deepEqual(
    kernel.outputs.map((output) => output.value.name),
    ['y', 'n'],
  );
});

test('a group is refused when a result is read before its last node runs', () => {
  const graph = smallGraph(({ n, z }) => [n, z]);
  const around = pattern('around', 'z', 'sum');
  // z feeds n, which lies outside [z, sum] and before sum.
  assert.deepEqual(kernelsOf(graph, capabilityWith([around])).slice(2), [
    'add(z)',
    'rms-norm(n)',
    'add(sum)',
  ]);
});

test('a group is refused when an observed value would vanish in it', () => {
  const graph = chainGraph();
  const capability = capabilityWith([pattern('group', 'y', 'z', 'n')]);
  const named = (name: string) =>
    known(
      graph.nodes.find((node) => node.output.name === name),
      name,
    ).output;
  assert.deepEqual(kernelsOf(graph, capability, { observed: [named('z')] }).length, 5);
  assert.deepEqual(kernelsOf(graph, capability, { observed: [named('n')] }), [
    'embed(x)',
    'group(y,z,n)',
    'add(sum)',
  ]);
  const plan = makePlan(graph, capability, { observed: [named('z')] });
  const last = plan.segments.flatMap((segment) => segment.kernels).length;
  assert.ok(plan.buffers.some((buffer) => buffer.value.name === 'z' && buffer.last === last));
});

test('a group is refused when it reaches into another segment', () => {
  const graph = chainGraph();
  const everything: FusionPattern = {
    name: 'everything',
    match: (root) =>
      root.operation.op === 'select-rows' ? graph.nodes.filter((node) => node.id <= root.id) : undefined,
  };
  const kernels = makePlan(graph, capabilityWith([everything])).segments.flatMap(
    (segment) => segment.kernels,
  );
  assert.ok(kernels.every((kernel) => kernel.pattern !== 'everything'));
});

test('a group is refused when its nodes want one input in different forms', () => {
  const reads: Capability['reads'] = ([node]) => (node?.operation.op === 'matmul' ? narrow : wide);
  const product = pattern('product-add', 'y', 'z');
  const writes = () => [wide, narrow];
  assert.ok(kernelsOf(chainGraph(), capabilityWith([product], { writes })).includes('product-add(y,z)'));
  assert.ok(
    !kernelsOf(chainGraph(), capabilityWith([product], { writes, reads })).includes('product-add(y,z)'),
  );
});

test('a group takes over an input only where it reads it once and nobody reads it later', () => {
  const overwrite = (input: string): FusionPattern => ({
    ...pattern('product-add', 'y', 'z'),
    inPlace: (nodes) => {
      const values = nodes.flatMap((node) => node.inputs);
      const found = known(
        values.find((value) => value.name === input),
        input,
      );
      return { input: found, output: known(nodes.at(-1), 'last').output };
    },
  });
  const slots = (graph: Graph) => {
    const { buffers } = makePlan(graph, capabilityWith([overwrite('x')]));
    return new Map(buffers.map((buffer) => [buffer.value.name, buffer.slot]));
  };
  const readTwice = slots(chainGraph());
  assert.notEqual(readTwice.get('z'), readTwice.get('x'));

  const builder = new GraphBuilder({ maxRows: 4, maxSelected: 4 });
  const table = builder.weight('table', formatByName('f32'), [9, 8]);
  const [x, other] = ['x', 'other'].map((name) => builder.apply({ op: 'embed' }, [table], name)) as [
    Value,
    Value,
  ];
  const y = builder.apply({ op: 'matmul' }, [other, builder.weight('w', formatByName('f32'), [8, 8])], 'y');
  const z = builder.apply({ op: 'add' }, [y, x], 'z');
  const readOnce = slots(builder.finish(z, (selected) => selected));
  assert.equal(readOnce.get('z'), readOnce.get('x'));
});
