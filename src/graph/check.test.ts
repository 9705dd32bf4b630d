import assert from 'node:assert/strict';
import { test } from 'node:test';
import { known, NearfieldError } from '../base/error.ts';
import { formatByName } from '../format.ts';
import { checkGraph, type Graph, GraphBuilder, type GraphNode, printGraph } from '../graph.ts';

const f32 = formatByName('f32');
const sizes = { keyValueHeadCount: 1, keySize: 8, valueSize: 8 };

function soundGraph(): Graph {
  const builder = new GraphBuilder({ maxRows: 4, maxSelected: 4 });
  const table = builder.weight('table', f32, [9, 8]);
  const x = builder.apply({ op: 'embed' }, [table], 'x');
  builder.enterLayer(0);
  const state = builder.apply({ op: 'cache-write', layer: 0, ...sizes }, [x, x], 'cache');
  const y = builder.apply({ op: 'attention', layer: 0, headCount: 1, scale: 1, ...sizes }, [x, state], 'y');
  return builder.finish(builder.apply({ op: 'add' }, [x, y], 'z'), (selected) =>
    builder.apply({ op: 'matmul' }, [selected, table], 'logits'),
  );
}

const indexOf = (graph: Graph, name: string): number =>
  graph.nodes.findIndex((node) => node.output.name === name);

/** The graph with nodes replaced and numbered anew. */
const withNodes = (graph: Graph, nodes: readonly GraphNode[]): Graph => ({
  ...graph,
  nodes: nodes.map((node, id) => ({ ...node, id })),
});

function expectRefused(graph: Graph, message: RegExp): void {
  assert.throws(
    () => checkGraph(graph),
    (error: NearfieldError) => error.code === 'internal' && message.test(error.message),
  );
}

test('what the builder makes is sound', () => {
  checkGraph(soundGraph());
});

test('a value used before it is made', () => {
  const graph = soundGraph();
  const nodes = [...graph.nodes];
  const [z] = nodes.splice(indexOf(graph, 'z'), 1);
  expectRefused(withNodes(graph, [known(z, 'z'), ...nodes]), /z uses x before it is made/);
  expectRefused({ ...graph, weights: [] }, /x uses table before it is made/);
});

test('a value made twice', () => {
  const graph = soundGraph();
  const x = known(graph.nodes[indexOf(graph, 'x')], 'x');
  expectRefused(withNodes(graph, [x, ...graph.nodes]), /x is made twice/);
});

test('nodes out of their numbers', () => {
  const graph = soundGraph();
  const nodes = graph.nodes.map((node) => ({ ...node, id: node.id + 1 }));
  expectRefused({ ...graph, nodes }, /x is node 0 but numbered 1/);
});

test('a cache with two writers', () => {
  const graph = soundGraph();
  const place = indexOf(graph, 'cache');
  const writer = known(graph.nodes[place], 'cache');
  const second = { ...writer, output: { ...writer.output, id: 999 } };
  const nodes = [...graph.nodes.slice(0, place + 1), second, ...graph.nodes.slice(place + 1)];
  expectRefused(withNodes(graph, nodes), /Layer 0 writes its cache twice/);
});

test('a value of a later stage', () => {
  const graph = soundGraph();
  const nodes = graph.nodes.map(
    (node): GraphNode => (node.output.name === 'y' ? { ...node, stage: 'head' } : node),
  );
  expectRefused(withNodes(graph, nodes), /z of stage body uses y of stage head/);
});

test('a result nobody makes', () => {
  const graph = soundGraph();
  for (const result of ['hidden', 'logits', 'argmax'] as const) {
    expectRefused(
      { ...graph, [result]: { ...graph[result], id: 999, name: 'lost' } },
      /lost is a result nobody makes/,
    );
  }
});

test('shapes that do not fit are refused as the graph grows', () => {
  const builder = new GraphBuilder({ maxRows: 4, maxSelected: 4 });
  const x = builder.apply({ op: 'embed' }, [builder.weight('table', f32, [9, 8])], 'x');
  const weight = builder.weight('w', f32, [3, 7]);
  assert.throws(
    () => builder.apply({ op: 'matmul' }, [x, weight], 'y'),
    (error: NearfieldError) => error.code === 'bad-file' && error.message.includes('f32[3, 7]'),
  );
  assert.throws(() => builder.apply({ op: 'add' }, [x], 'z'), NearfieldError);
  builder.finish(x, (selected) => selected);
  assert.throws(() => builder.finish(x, (selected) => selected), NearfieldError);
});

test('a graph prints one node a line', () => {
  const lines = printGraph(soundGraph()).split('\n');
  assert.equal(lines[0], 'x: real[T, 8] = embed(table)');
  assert.ok(lines.includes('logits: real[R, 9] = matmul(selected, table)'));
});
