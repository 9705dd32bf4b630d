import assert from 'node:assert/strict';
import { test } from 'node:test';
import { simulateArena } from '../../test/fixture/arena-simulation.ts';
import { known, NearfieldError } from '../base/error.ts';
import { uniformAt } from '../base/random.ts';
import { formatByName } from '../format.ts';
import { type Graph, GraphBuilder, type GraphNode, ruleOf, type Value } from '../graph.ts';
import {
  type Capability,
  type FusionPattern,
  makePlan,
  type Operand,
  type Plan,
  printPlan,
  type StorageForm,
} from '../plan.ts';

const f32 = formatByName('f32');
const single: StorageForm = { name: 'single', blockValues: 1, blockBytes: 4 };
const blocks: StorageForm = { name: 'blocks', blockValues: 32, blockBytes: 36 };
const samples = [1, 2, 3, 17, 64].flatMap((rows) => [0, 1, 3, 16].map((selected) => [rows, selected]));

function capabilityWith(changes: Partial<Capability> = {}): Capability {
  return {
    backend: 'test',
    alignmentBytes: 64,
    addressableBytes: Number.POSITIVE_INFINITY,
    mostMemories: 1,
    overreadBytes: 0,
    form: single,
    supports: () => true,
    patterns: [],
    reads: () => single,
    writes: () => [single],
    cacheBlockBytes: ({ keySize }) => keySize * 100,
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

const limits = { maxRows: 64, maxSelected: 16 };

/** Two layers with a cache each; the second one's product reads what the norm writes. */
function layeredGraph(): Graph {
  const builder = new GraphBuilder(limits);
  let stream = builder.apply({ op: 'embed' }, [builder.weight('table', f32, [9, 96])], 'embedded');
  for (const layer of [0, 1]) {
    builder.enterLayer(layer);
    const name = (part: string) => `${part}${layer}`;
    const input = builder.apply(
      { op: 'rms-norm', epsilon: 1e-5 },
      [stream, builder.weight(name('scale'), f32, [96])],
      name('normed'),
    );
    const [query, key, value] = ['q', 'k', 'v'].map((part) =>
      builder.apply({ op: 'matmul' }, [input, builder.weight(name(`w${part}`), f32, [96, 96])], name(part)),
    ) as [Value, Value, Value];
    const sizes = { layer, keyValueHeadCount: 3, keySize: 32, valueSize: 32 };
    const state = builder.apply({ op: 'cache-write', ...sizes }, [key, value], name('cache'));
    const attended = builder.apply(
      { op: 'attention', ...sizes, headCount: 3, scale: 1 },
      [query, state],
      name('attended'),
    );
    stream = builder.apply({ op: 'add' }, [stream, attended], name('out'));
  }
  builder.enterLayer(undefined);
  return builder.finish(stream, (selected) =>
    builder.apply({ op: 'matmul' }, [selected, builder.weight('head', f32, [500, 96])], 'logits'),
  );
}

const patternByName = (capability: Capability, name: string) =>
  capability.patterns.find((candidate) => candidate.name === name);

/** A kernel may write over an input where its rule or pattern says so, once per kernel. */
function sharing(plan: Plan, capability: Capability) {
  return (name: string, input: Operand, output: Operand): boolean => {
    const kernel = plan.segments
      .flatMap((segment) => segment.kernels)
      .find((candidate) => candidate.outputs.includes(output) && candidate.pattern === name);
    const nodes = known(kernel, 'kernel').nodes;
    const [node] = nodes;
    if (!node) return false;
    if (nodes.length > 1) {
      const stated = patternByName(capability, name)?.inPlace?.(nodes);
      return stated?.input === input.value && stated.output === output.value;
    }
    const place = ruleOf(node.operation).inPlace;
    return place !== undefined && node.inputs[place] === input.value;
  };
}

function expectSound(plan: Plan, capability: Capability, observed: readonly Value[] = []): void {
  const kept = [
    plan.logits,
    plan.argmax,
    ...plan.buffers.filter((buffer) => observed.includes(buffer.value) && buffer.form === capability.form),
  ];
  for (const symbols of samples) {
    const problems = simulateArena(plan, symbols, capability.alignmentBytes, sharing(plan, capability), kept);
    assert.deepEqual(problems, []);
  }
}

test('a plan keeps every value whole until its last reader', () => {
  const capability = capabilityWith();
  expectSound(makePlan(layeredGraph(), capability), capability);
});

test('the simulation notices a buffer that lies on another', () => {
  const capability = capabilityWith();
  const plan = makePlan(layeredGraph(), capability);
  const segments = plan.segments.map((segment) => ({
    ...segment,
    kernels: segment.kernels.map((kernel) => ({
      ...kernel,
      outputs: kernel.outputs.map((output) =>
        output.value.name === 'k0' ? { ...output, offset: 0 } : output,
      ),
    })),
  }));
  const problems = simulateArena({ ...plan, segments }, [3, 1], 64, sharing(plan, capability), []);
  assert.notEqual(problems.length, 0);
});

test('an elementwise node writes over its input, unless somebody still needs it', () => {
  const graph = layeredGraph();
  const slots = (plan: Plan) => new Map(plan.buffers.map((buffer) => [buffer.value.name, buffer.slot]));
  const free = slots(makePlan(graph, capabilityWith()));
  assert.equal(free.get('out0'), free.get('embedded'));
  const embedded = known(graph.nodes[0], 'node').output;
  const watched = slots(makePlan(graph, capabilityWith(), { observed: [embedded] }));
  assert.notEqual(watched.get('out0'), watched.get('embedded'));
  // The norm may work in place, but its input is the residual.
  assert.notEqual(free.get('normed0'), free.get('embedded'));
});

test('forms: producers that can write what readers want do, others are followed by a conversion', () => {
  const reads = (nodes: readonly GraphNode[]) => (nodes[0]?.operation.op === 'matmul' ? blocks : single);
  const writes = (nodes: readonly GraphNode[]) =>
    nodes[0]?.operation.op === 'rms-norm' ? [single, blocks] : [single];
  const capability = capabilityWith({ reads, writes });
  const plan = makePlan(layeredGraph(), capability);
  const kernels = plan.segments.flatMap((segment) => segment.kernels);
  const formsOf = (name: string) =>
    plan.buffers.filter((buffer) => buffer.value.name === name).map((buffer) => buffer.form.name);
  assert.deepEqual(formsOf('normed0'), ['blocks']);
  assert.deepEqual(formsOf('selected'), ['single', 'blocks']);
  const conversions = kernels.filter((kernel) => kernel.pattern === 'convert');
  assert.deepEqual(
    conversions.map(({ inputs, outputs, nodes }) => [
      inputs[0]?.form.name,
      outputs[0]?.form.name,
      nodes.length,
    ]),
    [['single', 'blocks', 0]],
  );
  assert.equal(`${plan.buffers.find((buffer) => buffer.value.name === 'normed0')?.bytes}`, '108·T');
  expectSound(plan, capability);
  const normed = known(
    plan.graph.nodes.find((node) => node.output.name === 'normed0'),
    'norm',
  ).output;
  const watched = makePlan(layeredGraph(), capability);
  assert.equal(watched.buffers.filter((buffer) => buffer.value.name === 'normed0').length, 1);
  const both = makePlan(plan.graph, capability, { observed: [normed] });
  assert.equal(both.buffers.filter((buffer) => buffer.value === normed).length, 2);
  expectSound(both, capability, [normed]);
});

test('stages are cut, and layers where asked; every weight is bound where it is used', () => {
  const names = (plan: Plan) =>
    plan.segments.map((segment) => [segment.stage, segment.weights.map((weight) => weight.name).join(' ')]);
  assert.deepEqual(names(makePlan(layeredGraph(), capabilityWith())), [
    ['body', 'table scale0 wq0 wk0 wv0 scale1 wq1 wk1 wv1'],
    ['head', 'head'],
    ['argmax', ''],
    ['commit', ''],
  ]);
  const byLayer = makePlan(layeredGraph(), capabilityWith(), { cut: 'layers' });
  assert.deepEqual(names(byLayer), [
    ['body', 'table'],
    ['body', 'scale0 wq0 wk0 wv0'],
    ['body', 'scale1 wq1 wk1 wv1'],
    ['head', 'head'],
    ['argmax', ''],
    ['commit', ''],
  ]);
  expectSound(byLayer, capabilityWith());
});

test('every node runs exactly once, after what it reads', () => {
  const graph = layeredGraph();
  const order = makePlan(graph, capabilityWith()).segments.flatMap((segment) =>
    segment.kernels.flatMap((kernel) => kernel.nodes),
  );
  assert.deepEqual(
    [...order].sort((a, b) => a.id - b.id),
    graph.nodes,
  );
  order.forEach((node, place) => {
    for (const input of node.inputs) {
      const producer = order.findIndex((other) => other.output === input);
      assert.ok(producer < place, `${node.output.name} runs before ${input.name}`);
    }
  });
});

test('layers have their places in a cache page', () => {
  const { cache } = makePlan(layeredGraph(), capabilityWith());
  assert.deepEqual(
    cache.layers.map(({ layer, offsetBytes }) => [layer, offsetBytes]),
    [
      [0, 0],
      [1, 3200],
    ],
  );
  assert.equal(cache.pageBytes, 6400);
  assert.throws(() => cache.of(2), NearfieldError);
});

test('a node that the backend cannot run is refused by name', () => {
  const capability = capabilityWith({ supports: (node) => node.operation.op !== 'attention' });
  assert.throws(
    () => makePlan(layeredGraph(), capability),
    (error: NearfieldError) => error.code === 'unsupported' && error.message.includes('attention'),
  );
});

test('a printed plan shows kernels, expressions, bytes at the bounds and what reuse saved', () => {
  const builder = new GraphBuilder(limits);
  const x = builder.apply({ op: 'embed' }, [builder.weight('table', f32, [9, 96])], 'x');
  const text = printPlan(
    makePlan(
      builder.finish(x, (selected) => selected),
      capabilityWith(),
    ),
  );
  assert.match(text, /^segment 0 \(body\): 1 kernels, 1 weights\n {2}0 embed\(table:f32\) -> x:single\n/);
  assert.match(text, /slot 0 x:single kernels 0–3 offset 0 bytes 384·T \(384…24576\)/);
  assert.match(text, /arena: 384·R \+ 384·T \+ 64·⌈\(R\)\/8⌉ = 384…30848 bytes/);
});

/** Elementwise nodes, norms and products at random, over values of two widths. */
function randomGraph(draw: (limit: number) => number): Graph {
  const builder = new GraphBuilder(limits);
  const widths = [96, 160];
  const values = widths.map((width) =>
    builder.apply({ op: 'embed' }, [builder.weight(`table ${width}`, f32, [9, width])], `embedded ${width}`),
  );
  const pick = (width?: number) => {
    const fitting = values.filter((value) => width === undefined || value.type.shape[1] === width);
    return known(fitting[Math.max(0, fitting.length - 1 - draw(4))], 'value');
  };
  for (let index = 0; index < 14; index++) {
    const input = pick();
    const width = Number(input.type.shape[1]);
    const columns = widths[draw(2)] ?? width;
    const makers = [
      () => builder.apply({ op: 'add' }, [input, pick(width)], `add ${index}`),
      () => builder.apply({ op: 'gated', activation: 'silu' }, [input, pick(width)], `gated ${index}`),
      () =>
        builder.apply(
          { op: 'rms-norm', epsilon: 1 },
          [input, builder.weight(`scale ${width}`, f32, [width])],
          `norm ${index}`,
        ),
      () =>
        builder.apply(
          { op: 'matmul' },
          [input, builder.weight(`w ${columns} ${width}`, f32, [columns, width])],
          `product ${index}`,
        ),
    ];
    values.push(known(makers[draw(makers.length)], 'maker')());
  }
  return builder.finish(known(values.at(-1), 'value'), (selected) => selected);
}

/** Grows a group from the root over up to `depth` of its ancestors; mostly illegal, so that the planner has to refuse. */
function greedyPattern(draw: (limit: number) => number): FusionPattern {
  return {
    name: 'greedy',
    match(root, view) {
      const group = [root];
      for (let depth = 1 + draw(4); depth > 0; depth--) {
        const inputs = group.flatMap((node) => node.inputs);
        const producer = view.producer(known(inputs[draw(inputs.length)], 'input'));
        if (producer && !group.includes(producer)) group.push(producer);
      }
      return group;
    },
    inPlace(nodes) {
      const inside = new Set(nodes.map((node) => node.output));
      const input = nodes
        .flatMap((node) => node.inputs)
        .find((value) => value.kind === 'activation' && !inside.has(value));
      return input && { input, output: known(nodes.at(-1), 'last').output };
    },
  };
}

test('random graphs, random groups: the arena stays sound', () => {
  let position = 0;
  const draw = (limit: number) => Math.floor(uniformAt(23, position++) * limit);
  let fused = 0;
  for (let trial = 0; trial < 80; trial++) {
    const graph = randomGraph(draw);
    const reads = (nodes: readonly GraphNode[]) =>
      nodes.some((node) => node.operation.op === 'matmul') ? blocks : single;
    const writes = (nodes: readonly GraphNode[]) => (nodes.length % 2 === 0 ? [single, blocks] : [single]);
    const capability = capabilityWith({ patterns: [greedyPattern(draw)], reads, writes });
    const observed = graph.nodes.filter(() => draw(6) === 0).map((node) => node.output);
    const plan = makePlan(graph, capability, { observed });
    const kernels = plan.segments.flatMap((segment) => segment.kernels);
    fused += kernels.filter((kernel) => kernel.pattern === 'greedy').length;
    expectSound(plan, capability, observed);
    for (const value of observed) {
      assert.ok(plan.buffers.some((buffer) => buffer.value === value && buffer.form === single));
    }
    const ran = kernels.flatMap((kernel) => kernel.nodes.map((node) => node.id)).sort((a, b) => a - b);
    assert.deepEqual(
      ran,
      graph.nodes.map((node) => node.id),
    );
  }
  assert.ok(fused > 60, `${fused} groups`);
});
