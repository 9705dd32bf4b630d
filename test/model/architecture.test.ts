/** What architectures read from a checkpoint, and how they refuse one that makes no model. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { architectureNames, openModel } from '../../src/architecture.ts';
import { type Checkpoint, type GgufValue, openCheckpoint, type TensorEntry } from '../../src/checkpoint.ts';
import { formatByName } from '../../src/format.ts';
import { checkGraph, type Graph, type Operation, type OperationName } from '../../src/graph.ts';
import { openTinyModel, type TinyShapeName, tinyShapeNames } from '../fixture/tiny-model.ts';

const models = new URL('../../../shared/models/', import.meta.url);
const limits = { maxRows: 8, maxSelected: 2 };

function operationsOf<Name extends OperationName>(graph: Graph, name: Name) {
  type Named = Extract<Operation, { op: Name }>;
  return graph.nodes
    .map((node) => node.operation)
    .filter((operation): operation is Named => operation.op === name);
}

async function firstOf<Name extends OperationName>(shape: TinyShapeName, name: Name) {
  const graph = (await openModel(await openTinyModel(shape))).build(limits);
  const [first] = operationsOf(graph, name);
  assert.ok(first);
  return first;
}

/** The checkpoint with some tensors replaced (undefined: taken away). */
function withTensors(
  checkpoint: Checkpoint,
  changes: Record<string, Partial<TensorEntry> | undefined>,
): Checkpoint {
  const tensors = new Map(checkpoint.tensors);
  for (const [name, change] of Object.entries(changes)) {
    const entry = tensors.get(name) ?? tensors.get('output_norm.weight');
    if (change && entry) tensors.set(name, { ...entry, name, ...change });
    else tensors.delete(name);
  }
  const { name, container, metadata, parts, byteLength } = checkpoint;
  return {
    ...{ name, container, metadata, parts, byteLength, tensors },
    read: (entry, offset, target, signal) => checkpoint.read(entry, offset, target, signal),
    close: () => checkpoint.close(),
  };
}

test('every tiny model gives a sound graph that uses all its weights', async (t) => {
  for (const name of tinyShapeNames) {
    await t.test(name, async () => {
      const checkpoint = await openTinyModel(name);
      const model = await openModel(checkpoint);
      const graph = model.build(limits);
      checkGraph(graph);
      const rest = new Set(checkpoint.tensors.keys());
      for (const weight of graph.weights) rest.delete(weight.tensor);
      for (const name of rest) if (/^rope_/.test(name)) rest.delete(name);
      assert.deepEqual([...rest], []);
      assert.deepEqual(model.build(limits), graph, 'building twice gives the same graph');
    });
  }
});

test('the description is the metadata and the weights', async () => {
  const { description } = await openModel(await openTinyModel('llama'));
  const perLayer = 64 * 64 * 2 + 64 * 32 * 2 + 64 * 96 * 3 + 64 * 2;
  assert.deepEqual(description, {
    architecture: 'llama',
    name: 'random llama',
    vocabularySize: 288,
    contextLength: 512,
    layerCount: 3,
    hiddenSize: 64,
    parameterCount: 2 * 288 * 64 + 3 * perLayer + 64,
  });
});

test('families differ as they state', async () => {
  assert.equal((await firstOf('llama', 'rope')).pairing, 'adjacent');
  assert.equal((await firstOf('qwen2', 'rope')).pairing, 'split');
  assert.equal((await firstOf('llama', 'attention')).window, undefined);
  assert.equal((await firstOf('llama, sliding window', 'attention')).window, 16);
  assert.equal((await firstOf('llama, partial rotary', 'rope')).frequencies.length, 4);
  assert.equal((await firstOf('qwen2', 'rms-norm')).epsilon, Math.fround(1e-6));
  const wide = await firstOf('llama, heads of another size than hidden / heads', 'attention');
  assert.deepEqual([wide.keySize, wide.valueSize, wide.scale], [24, 24, 1 / Math.sqrt(24)]);
});

test('a tied head reads the embedding, a head of its own does not', async () => {
  for (const [name, head] of [
    ['llama, tied head', 'token_embd.weight'],
    ['llama', 'output.weight'],
  ] as const) {
    const graph = (await openModel(await openTinyModel(name))).build(limits);
    const node = graph.nodes.find(({ output }) => output === graph.logits);
    assert.equal(node?.inputs[1]?.name, head);
  }
});

test('rope frequencies follow the scaling', async () => {
  const plain = (await firstOf('llama', 'rope')).frequencies;
  assert.deepEqual(
    plain,
    Array.from({ length: 8 }, (_, pair) => 10_000 ** ((-2 * pair) / 16)),
  );
  const linear = (await firstOf('llama, linear rope', 'rope')).frequencies;
  assert.deepEqual(
    linear,
    plain.map((frequency) => frequency / 4),
  );
  const llama3 = await firstOf('llama, llama3 rope', 'rope');
  const unscaled = llama3.frequencies.map((_, pair) => 500_000 ** ((-2 * pair) / 16));
  const factors = llama3.frequencies.map((frequency, pair) => (unscaled[pair] ?? 0) / frequency);
  // Over 64 positions the first pair turns 10.2 times, the second 1.98 times (a third of the way from 1 to 4), others less than once.
  const expected = [1, 1 / (0.3257 + 0.6743 / 8), 8, 8, 8, 8, 8, 8];
  factors.forEach((factor, pair) => {
    assert.ok(Math.abs(factor - (expected[pair] ?? 0)) < 0.01, `pair ${pair}: ${factor}`);
  });
  const yarn = await firstOf('llama, yarn rope with its own magnitude', 'rope');
  assert.ok(Math.abs(yarn.magnitude - 0.9 * (1 + 0.1 * Math.log(8))) < 1e-7);
  assert.equal(yarn.frequencies[7], (plain[7] ?? 0) / 8);
  // 16 ln(64 / (2π turns)) / (2 ln 10000) is 0.81 for 4 turns and 2.62 for half a turn: the ramp goes from pair 0 to 3.
  const ramp = await firstOf('llama, yarn rope with its own ramp', 'rope');
  const shares = ramp.frequencies.map(
    (frequency, pair) => (frequency / (plain[pair] ?? 0) - 1 / 8) / (7 / 8),
  );
  [1, 2 / 3, 1 / 3, 0, 0, 0, 0, 0].forEach((share, pair) => {
    assert.ok(Math.abs((shares[pair] ?? 0) - share) < 1e-9, `pair ${pair}: ${shares[pair]}`);
  });
});

test('an unknown architecture is named, and the known ones listed', async () => {
  const checkpoint = await openTinyModel('llama', { metadata: new Map([['general.architecture', 'mamba']]) });
  await assert.rejects(openModel(checkpoint), {
    code: 'unsupported',
    message: new RegExp(`"mamba".*${architectureNames.join(', ')}`),
  });
});

test('absurd metadata is refused by the name of its key', async (t) => {
  const uint32 = (value: number): GgufValue => ({ type: 'uint32', value });
  const float32 = (value: number): GgufValue => ({ type: 'float32', value });
  const cases: [key: string, value: GgufValue, code: string, message: RegExp][] = [
    ['attention.head_count', uint32(0), 'bad-file', /head_count is 0/],
    ['attention.head_count', uint32(2 ** 32 - 1), 'bad-file', /head_count is 4294967295/],
    [
      'attention.head_count',
      uint32(8),
      'bad-file',
      /attn_q\.weight has shape \[64, 64\] instead of \[128, 64\]/,
    ],
    ['attention.head_count_kv', uint32(3), 'bad-file', /head_count_kv is 3 .*divide the 4 heads/],
    ['attention.head_count_kv', uint32(0), 'bad-file', /head_count_kv is 0/],
    [
      'attention.key_length',
      uint32(17),
      'bad-file',
      /attn_q\.weight has shape \[64, 64\] instead of \[68, 64\]/,
    ],
    ['rope.dimension_count', uint32(15), 'bad-file', /rope\.dimension_count is 15 .*even/],
    ['rope.dimension_count', uint32(18), 'bad-file', /rope\.dimension_count is 18 .*1 to 16/],
    ['rope.freq_base', float32(0), 'bad-file', /rope\.freq_base is 0/],
    ['rope.freq_base', float32(Number.NaN), 'bad-file', /rope\.freq_base/],
    ['rope.scaling.factor', float32(-2), 'bad-file', /rope\.scaling\.factor is -2/],
    ['rope.scaling.type', 'cubic', 'unsupported', /"cubic".*none, linear, longrope and yarn/],
    ['embedding_length', uint32(63), 'bad-file', /embedding_length is 63 .*rows of 64/],
    ['block_count', uint32(0), 'bad-file', /block_count is 0/],
    ['block_count', uint32(2 ** 32 - 1), 'bad-file', /block_count is 4294967295/],
    ['block_count', uint32(4), 'bad-file', /blk\.3\.attn_norm\.weight.* is missing/],
    ['block_count', uint32(2), 'bad-file', /blk\.2\..* has no place in a model of 2 layers/],
    [
      'feed_forward_length',
      uint32(95),
      'bad-file',
      /ffn_gate\.weight has shape \[96, 64\] instead of \[95, 64\]/,
    ],
    ['context_length', uint32(0), 'bad-file', /context_length is 0/],
    ['attention.layer_norm_rms_epsilon', float32(0), 'bad-file', /layer_norm_rms_epsilon is 0/],
    ['expert_count', uint32(8), 'unsupported', /8 experts/],
  ];
  for (const [key, value, code, message] of cases) {
    await t.test(`${key} ${JSON.stringify(value)}`, async () => {
      const checkpoint = await openTinyModel('llama', { metadata: new Map([[`llama.${key}`, value]]) });
      await assert.rejects(openModel(checkpoint), { code, message });
    });
  }
});

test('missing, misshapen and surplus tensors are named', async () => {
  const llama = await openTinyModel('llama');
  const qwen2 = await openTinyModel('qwen2');
  const cases: [checkpoint: Checkpoint, message: RegExp][] = [
    [withTensors(llama, { 'token_embd.weight': undefined }), /token_embd\.weight/],
    [withTensors(llama, { 'token_embd.weight': { shape: [288] } }), /token_embd\.weight/],
    [
      withTensors(llama, { 'blk.1.ffn_up.weight': undefined }),
      /blk\.1\.ffn_up\.weight of shape \[96, 64\] is missing/,
    ],
    [
      withTensors(llama, { 'blk.1.ffn_up.weight': { shape: [64, 96] } }),
      /blk\.1\.ffn_up\.weight has shape \[64, 96\]/,
    ],
    [withTensors(llama, { 'output_norm.weight': { shape: [64, 1] } }), /output_norm\.weight/],
    [withTensors(llama, { 'blk.0.attn_q.bias': { shape: [63] } }), /blk\.0\.attn_q\.bias has shape \[63\]/],
    [withTensors(llama, { 'blk.0.attn_q_norm.weight': {} }), /"blk\.0\.attn_q_norm\.weight" has no place/],
    [
      withTensors(llama, { 'rope_freqs.weight': { shape: [9] } }),
      /rope_freqs\.weight has shape \[9\] instead of \[8\]/,
    ],
    [
      withTensors(qwen2, { 'blk.2.attn_v.bias': undefined }),
      /blk\.2\.attn_v\.bias of shape \[32\] is missing/,
    ],
  ];
  for (const [checkpoint, message] of cases) {
    await assert.rejects(openModel(checkpoint), { code: 'bad-file', message });
  }
});

test('a rope factor that is not above zero is refused', async () => {
  const checkpoint = await openTinyModel('llama, llama3 rope');
  const zeros = { ...withTensors(checkpoint, {}), read: async () => {} };
  await assert.rejects(openModel(zeros), { code: 'bad-file', message: /rope_freqs\.weight/ });
});

test('an aborted signal stops the reading of rope factors', async () => {
  const checkpoint = await openTinyModel('llama, llama3 rope');
  await assert.rejects(openModel(checkpoint, AbortSignal.abort()), { code: 'aborted' });
});

for (const [file, description] of [
  [
    'fable/fable-4m-q4_k_m.gguf',
    { name: 'fable-4m', vocabularySize: 4096, contextLength: 512, layerCount: 4, hiddenSize: 256 },
  ],
  [
    'stories260k/stories260k-f32.gguf',
    { name: 'stories260k', vocabularySize: 512, contextLength: 512, layerCount: 5, hiddenSize: 64 },
  ],
] as const) {
  const path = fileURLToPath(new URL(file, models));
  test(`reads ${file}`, {
    skip: existsSync(path) ? false : `../shared/models/${file} is absent`,
  }, async () => {
    const checkpoint = await openCheckpoint(path);
    const model = await openModel(checkpoint);
    const parameterCount = file.startsWith('fable') ? 4_196_608 : 260_032;
    assert.deepEqual(model.description, { architecture: 'llama', ...description, parameterCount });
    checkGraph(model.build(limits));
    assert.equal(
      model.build(limits).weights[0]?.type.format.name,
      checkpoint.tensors.get('token_embd.weight')?.format.name,
    );
    await checkpoint.close();
  });
}

test('weights keep the format they have in the file', async () => {
  const checkpoint = await openTinyModel('llama', {
    format: (tensor) => formatByName(tensor.includes('ffn') ? 'q4_0' : 'f16'),
  });
  const graph = (await openModel(checkpoint)).build(limits);
  const formats = new Map(graph.weights.map((weight) => [weight.name, weight.type.format.name]));
  assert.equal(formats.get('blk.0.ffn_up.weight'), 'q4_0');
  assert.equal(formats.get('blk.0.attn_q.weight'), 'f16');
  assert.equal(formats.get('blk.0.attn_norm.weight'), 'f32');
});
