/** What architectures read from a checkpoint, and how they refuse one that makes no model. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { architectureNames, openModel } from '../../src/architecture.ts';
import { type Checkpoint, type GgufValue, openCheckpoint, type TensorEntry } from '../../src/checkpoint.ts';
import { formatByName } from '../../src/format.ts';
import { checkGraph, type Graph, type Operation, type OperationName } from '../../src/graph.ts';
import { Engine } from '../../src/index.ts';
import { openRunner } from '../fixture/model-runner.ts';
import { openTinyModel, type TinyShapeName, tinyModelBytes, tinyShapeNames } from '../fixture/tiny-model.ts';

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
    activeParameterCount: 2 * 288 * 64 + 3 * perLayer + 64,
  });
});

test('of the experts a token is computed with the chosen', async () => {
  const { description } = await openModel(await openTinyModel('gpt-oss'));
  // Three layers' products of 64 and 40 values with their biases, by 4 layers and the 4 of 7 experts that are not chosen.
  const idle = 4 * 4 * (3 * 64 * 40 + 2 * 40 + 64);
  assert.equal(description.parameterCount - description.activeParameterCount, idle);
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

test('layers differ as their family states', async () => {
  const graphOf = async (shape: TinyShapeName) => (await openModel(await openTinyModel(shape))).build(limits);
  const gemma3 = await graphOf('gemma3');
  const windows = operationsOf(gemma3, 'attention').map(({ window }) => window);
  assert.deepEqual(windows, [16, 16, 16, 16, 16, undefined, 16]);
  const second = operationsOf(gemma3, 'rope').map(({ frequencies }) => frequencies[1]);
  const [local, global] = [10_000, 1_000_000].map((base) => base ** (-2 / 32));
  // Of queries and keys.
  assert.deepEqual(second, [...Array(10).fill(local), global, global, local, local]);
  const cohere2 = await graphOf('cohere2');
  assert.deepEqual(
    operationsOf(cohere2, 'attention').map(({ window }) => window),
    [16, 16, 16, undefined, 16],
  );
  assert.equal(operationsOf(cohere2, 'rope').length, 8, 'what sees everything does not rotate');
  const olmo3 = operationsOf(await graphOf('olmo2, 3'), 'rope');
  assert.equal(olmo3[0]?.magnitude, 1);
  assert.ok((olmo3[6]?.magnitude ?? 0) > 1.2, 'only layers without a window are scaled');
  assert.deepEqual(
    operationsOf(await graphOf('gemma2, with the scores of the largest'), 'attention')[0]?.scale,
    1 / Math.sqrt(8),
  );
});

test("a file's own pattern of windows goes before the family's", async () => {
  const pattern = new Map<string, GgufValue>([
    ['gemma3.attention.sliding_window_pattern', { type: 'uint32', value: 2 }],
  ]);
  const graph = (await openModel(await openTinyModel('gemma3', { metadata: pattern }))).build(limits);
  const windows = operationsOf(graph, 'attention').map(({ window }) => window);
  assert.deepEqual(windows, [16, undefined, 16, undefined, 16, undefined, 16]);
});

test('a context beyond the original takes the long factors', async () => {
  const model = await openModel(await openTinyModel('phi3'));
  const last = (contextLength: number) =>
    operationsOf(model.build({ ...limits, contextLength }), 'rope')[0]?.frequencies[7] ?? 0;
  const plain = 10_000 ** (-14 / 16);
  assert.ok(Math.abs(plain / last(64) - (1 + 7 * 0.02)) < 1e-6);
  assert.ok(Math.abs(plain / last(65) - (1 + 7 * 1.5)) < 1e-6);
  assert.deepEqual(model.build(limits), model.build({ ...limits, contextLength: 512 }), 'as it was trained');
});

test('rows of a fused matrix are weights of their own', async () => {
  const graph = (await openModel(await openTinyModel('phi3'))).build(limits);
  const parts = graph.weights.filter(({ tensor }) => /blk\.1\.(attn_qkv|ffn_up)/.test(tensor));
  assert.deepEqual(
    parts.map(({ name, firstRow, rowCount, type }) => [name, firstRow, rowCount, type.shape]),
    [
      ['blk.1.attn_qkv.weight[0:64]', 0, 64, [64, 64]],
      ['blk.1.attn_qkv.weight[64:96]', 64, 32, [32, 64]],
      ['blk.1.attn_qkv.weight[96:128]', 96, 32, [32, 64]],
      ['blk.1.ffn_up.weight[0:96]', 0, 96, [96, 64]],
      ['blk.1.ffn_up.weight[96:192]', 96, 96, [96, 64]],
    ],
  );
});

test('learned positions end a context', async () => {
  const bytes = await tinyModelBytes('gpt2');
  const graph = (await openModel(await openTinyModel('gpt2'))).build(limits);
  assert.equal(graph.positionCount, 512);
  await using runner = await openRunner(bytes, { backend: 'wasm', threads: 1 });
  const sequence = runner.cache.openSequence();
  const row = { sequence, token: 1, position: 512, parent: -1 };
  await assert.rejects(runner.executor.run({ rows: [row], select: { kind: 'nothing' } }), {
    code: 'bad-argument',
    message: /Position 512 .* beyond the 512/,
  });
  await assert.rejects(Engine.load(bytes, { contextLength: 513 }), {
    code: 'bad-argument',
    message: /512 positions/,
  });
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
    ['expert_count', uint32(8), 'bad-file', /expert_used_count/],
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
  const [phi2, phi3] = [await openTinyModel('phi2'), await openTinyModel('phi3')];
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
      withTensors(phi2, { 'blk.0.ffn_up.bias': undefined }),
      /blk\.0\.ffn_up\.bias of shape \[96\] is missing/,
    ],
    [
      withTensors(phi3, { 'blk.2.attn_qkv.weight': { shape: [127, 64] } }),
      /blk\.2\.attn_qkv\.weight has shape \[127, 64\] instead of \[128, 64\]/,
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
    const counts = { parameterCount, activeParameterCount: parameterCount };
    assert.deepEqual(model.description, { architecture: 'llama', ...description, ...counts });
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
