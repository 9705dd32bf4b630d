import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTinyModel, type tinyShapes } from '../../test/fixture/tiny-model.ts';
import { openModel } from '../architecture.ts';
import { checkGraph, printGraph } from '../graph.ts';
import { layersOf, thinGraph } from './thin-graph.ts';

const limits = { maxRows: 8, maxSelected: 2, vocabularyRows: 100 };

async function graphOf(shape: keyof typeof tinyShapes) {
  const checkpoint = await openTinyModel(shape);
  const model = await openModel(checkpoint);
  await checkpoint.close();
  return model.build({ maxRows: 8, maxSelected: 2 });
}

for (const shape of ['llama', 'llama, tied head', 'qwen2', 'gemma2', 'phi3', 'gpt2'] as const) {
  test(`${shape}: layers left out leave a graph that holds together`, async () => {
    const graph = await graphOf(shape);
    assert.deepEqual(layersOf(graph), [0, 1, 2]);
    const thin = thinGraph(graph, [0, 2], limits);
    assert.ok(thin);
    checkGraph(thin);
    assert.deepEqual(layersOf(thin), [0, 2]);
    assert.deepEqual(
      thin.caches.map((cache) => cache.layer),
      [0, 2],
    );
    assert.equal(thin.logits.type.shape[1], 100);
    const names = new Set(thin.weights.map((weight) => weight.name));
    assert.ok(names.has('blk.2.ffn_down.weight') && !names.has('blk.1.ffn_down.weight'));
  });
}

test('with every layer and the whole vocabulary it is the same graph', async () => {
  const graph = await graphOf('llama');
  const same = thinGraph(graph, [0, 1, 2], { ...limits, vocabularyRows: 1e6 });
  assert.ok(same);
  assert.equal(printGraph(same), printGraph(graph));
});

test('layers that read more than the layer before them are not taken apart', async () => {
  const graph = await graphOf('llama');
  const [first] = graph.nodes;
  const stray = graph.nodes.find((node) => node.layer === 2 && node.operation.op === 'add');
  assert.ok(first && stray);
  const inputs = [first.output, ...stray.inputs.slice(1)];
  const nodes = graph.nodes.map((node) => (node === stray ? { ...node, inputs } : node));
  assert.equal(thinGraph({ ...graph, nodes }, [0], limits), undefined);
});
