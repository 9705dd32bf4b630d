/** Folders of transformers: how they are found, what they must have, and headers that lie. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Checkpoint, containerNames, openCheckpoint } from '../checkpoint.ts';

type Files = { readonly [name: string]: string | Uint8Array };

const config = {
  ...{ architectures: ['LlamaForCausalLM'], hidden_size: 4, num_hidden_layers: 1, intermediate_size: 4 },
  ...{ num_attention_heads: 1, max_position_embeddings: 8, vocab_size: 3, rms_norm_eps: 1e-5 },
};

interface Entry {
  readonly dtype: string;
  readonly shape: readonly unknown[];
  readonly data_offsets: readonly unknown[];
}

const embedding: Entry = { dtype: 'F32', shape: [3, 4], data_offsets: [0, 48] };

function weights(header: object | string, dataBytes = 48, claimedBytes?: number): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + text.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(claimedBytes ?? text.length), true);
  bytes.set(text, 8);
  for (let i = 0; i < dataBytes; i++) bytes[8 + text.length + i] = i;
  return bytes;
}

const small = (more: object = {}): Uint8Array => weights({ 'model.embed_tokens.weight': embedding, ...more });

const folder = (files: Files = {}): Files => ({
  'config.json': JSON.stringify(config),
  'model.safetensors': small(),
  ...files,
});

const picked = (files: Files): File[] =>
  Object.entries(files).map(([name, content]) => new File([content as string], name));

const open = (files: Files = folder()) => openCheckpoint(picked(files));

async function onDisk(t: TestContext, files: Files): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'nearfield-'));
  t.after(() => rm(path, { recursive: true }));
  const own = join(path, 'Tiny-Model');
  await mkdir(own);
  for (const [name, content] of Object.entries(files)) await writeFile(join(own, name), content);
  return own;
}

test('the container table has safetensors', () => assert.ok(containerNames.includes('safetensors')));

test('a folder opens by its path, by each of its files that tells of weights, and as a list', async (t) => {
  const path = await onDisk(t, folder());
  for (const input of [path, `${path}/`, join(path, 'model.safetensors'), join(path, 'config.json')]) {
    const checkpoint = await openCheckpoint(input);
    assert.deepEqual([...checkpoint.tensors.keys()], ['token_embd.weight'], input);
    assert.equal(checkpoint.metadata.string('general.name'), 'Tiny-Model');
    const entry = checkpoint.tensors.get('token_embd.weight');
    assert.ok(entry);
    const bytes = new Uint8Array(4);
    await checkpoint.read(entry, 40, bytes);
    assert.deepEqual([...bytes], [40, 41, 42, 43]);
    await checkpoint.close();
  }
  assert.equal((await open()).container, 'safetensors');
});

test('a folder on a server, by ranges; what is not there is done without', async (t) => {
  const files = folder();
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://host');
    const name = url.pathname.replace('/org/Some-Model/resolve/main/', '');
    asked.push(name);
    const content = files[name];
    // As development servers do for every address that is no file.
    if (name === 'tokenizer.json') return response.writeHead(200).end('<!doctype html><title>App</title>');
    if (content === undefined || url.search !== '?token=x') return response.writeHead(404).end();
    const bytes = Buffer.from(content);
    const [, first = '0', last = ''] = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? '') ?? [];
    const end = Math.min(Number(last || bytes.length - 1), bytes.length - 1);
    const headers = { 'content-range': `bytes ${first}-${end}/${bytes.length}` };
    return response.writeHead(206, headers).end(bytes.subarray(Number(first), end + 1));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const checkpoint = await openCheckpoint(`http://127.0.0.1:${port}/org/Some-Model/resolve/main/?token=x`);
  assert.equal(checkpoint.metadata.string('general.name'), 'Some-Model');
  assert.ok(asked.includes('tokenizer.json') && asked.includes('model.safetensors'));
  await checkpoint.close();
  await assert.rejects(openCheckpoint(`http://127.0.0.1:${port}/org/Other/resolve/main/?token=x`), {
    code: 'bad-argument',
    message: /holds no model\.safetensors/,
  });
});

const weightsOf = ({ parts }: Checkpoint) => parts.filter(({ name }) => name.endsWith('.safetensors'));

const second: Entry = { dtype: 'F32', shape: [4], data_offsets: [0, 16] };
const index = (map: object): string => JSON.stringify({ metadata: {}, weight_map: map });
const shards = {
  'config.json': JSON.stringify(config),
  'model-00001-of-00002.safetensors': small(),
  'model-00002-of-00002.safetensors': weights({ 'model.norm.weight': second }, 16),
};
const map = {
  'model.embed_tokens.weight': 'model-00001-of-00002.safetensors',
  'model.norm.weight': 'model-00002-of-00002.safetensors',
};

test('a sharded model opens by its index, by one shard, and as a list with and without an index', async (t) => {
  const withIndex = { ...shards, 'model.safetensors.index.json': index(map) };
  const path = await onDisk(t, withIndex);
  for (const input of [
    path,
    join(path, 'model-00002-of-00002.safetensors'),
    picked(withIndex),
    picked(shards),
  ]) {
    const checkpoint = await openCheckpoint(input);
    assert.deepEqual([...checkpoint.tensors.keys()].sort(), ['output_norm.weight', 'token_embd.weight']);
    assert.equal(weightsOf(checkpoint).length, 2);
    await checkpoint.close();
  }
});

test('all files that make the model are its parts, so that a copy of them is the model', async () => {
  const files = { ...shards, 'model.safetensors.index.json': index(map), 'generation_config.json': '{}' };
  const { parts } = await open({ 'README.md': '#', ...files });
  assert.deepEqual(parts.map(({ name }) => name).sort(), Object.keys(files).sort());
  assert.equal((await openCheckpoint(parts)).tensors.size, 2);
});

test('an index that lies, or leads elsewhere, is refused', async () => {
  const cases: readonly (readonly [object | string, RegExp])[] = [
    [
      { ...map, 'model.norm.weight': 'model-00001-of-00002.safetensors' },
      /lacks the tensor "model\.norm\.weight"/,
    ],
    [{ ...map, 'model.other.weight': 'model-00001-of-00002.safetensors' }, /lacks the tensor/],
    [{ ...map, 'model.norm.weight': '../secret.safetensors' }, /names "\.\.\/secret/],
    [{ ...map, 'model.norm.weight': '/etc/passwd' }, /names/],
    [{ ...map, 'model.norm.weight': 7 }, /names "7"/],
    [{}, /lists no tensors/],
  ];
  for (const [own, message] of cases) {
    const files = { ...shards, 'model.safetensors.index.json': index(own as object) };
    await assert.rejects(open(files), { code: 'bad-file', message });
  }
  const absent = { ...map, 'model.norm.weight': 'model-00003-of-00002.safetensors' };
  const files = { ...shards, 'model.safetensors.index.json': index(absent) };
  await assert.rejects(open(files), { code: 'not-found', message: /00003.*is missing/ });
  const twice = { ...shards, 'model-00002-of-00002.safetensors': small() };
  await assert.rejects(open(twice), { code: 'bad-file', message: /is in another file/ });
});

test('headers that lie are refused in one line that names the tensor', async () => {
  const name = 'model.embed_tokens.weight';
  const entries: readonly (readonly [unknown, RegExp])[] = [
    [{ ...embedding, data_offsets: [0, 49] }, /cut short/],
    [{ ...embedding, data_offsets: [0, 47] }, /has 47 bytes/],
    [{ ...embedding, data_offsets: [1, 49] }, /cut short/],
    [{ ...embedding, data_offsets: [48, 0] }, /where it begins and ends/],
    [{ ...embedding, data_offsets: [0] }, /where it begins and ends/],
    [{ ...embedding, data_offsets: [0, 24, 48] }, /where it begins and ends/],
    [{ ...embedding, data_offsets: [-48, 0] }, /where it begins and ends/],
    [{ ...embedding, data_offsets: [0, 2 ** 60] }, /where it begins and ends/],
    [{ ...embedding, data_offsets: [0, 2 ** 52] }, /cut short/],
    [{ ...embedding, shape: [3, 5] }, /would have 60/],
    [{ ...embedding, shape: [2 ** 40, 2 ** 40] }, /has 48 bytes/],
    [{ ...embedding, shape: [3, 4.5] }, /no shape/],
    [{ ...embedding, shape: [3, -4] }, /no shape/],
    [{ ...embedding, shape: 12 }, /no shape/],
    [{ ...embedding, shape: [1, 1, 1, 1, 3, 4] }, /6 dimensions/],
    [{ ...embedding, shape: [0, 4], data_offsets: [0, 0] }, /impossible shape/],
    [{ ...embedding, dtype: 'F16' }, /would have 24/],
    [{ ...embedding, dtype: 7 }, /no type/],
    [null, /not described/],
    [[], /not described/],
  ];
  for (const [entry, message] of entries) {
    const files = folder({ 'model.safetensors': weights({ [name]: entry }) });
    await assert.rejects(open(files), { code: 'bad-file', message }, JSON.stringify(entry));
  }
  await assert.rejects(open(folder({ 'model.safetensors': small().slice(0, 100) })), { code: 'bad-file' });
  await assert.rejects(open(folder({ 'model.safetensors': weights('{', 48) })), {
    message: /not valid JSON/,
  });
  await assert.rejects(open(folder({ 'model.safetensors': weights('[]', 48) })), {
    message: /no JSON object/,
  });
  const long = folder({ 'model.safetensors': weights({}, 48, 2 ** 40) });
  await assert.rejects(open(long), { code: 'bad-file', message: /claims 1099511627776 bytes/ });
});

test('types that are not read are refused by name, unless no model needs the tensor', async () => {
  const floats = { dtype: 'F64', shape: [3, 2], data_offsets: [0, 48] };
  const files = folder({ 'model.safetensors': weights({ 'model.embed_tokens.weight': floats }) });
  await assert.rejects(open(files), { code: 'unsupported', message: /"F64"/ });
  const integers = { dtype: 'I64', shape: [6], data_offsets: [0, 48] };
  const unused = small({ 'model.layers.0.self_attn.rotary_emb.inv_freq': integers });
  assert.equal((await open(folder({ 'model.safetensors': unused }))).tensors.size, 1);
});

test('a tensor with no place, or one that is missing among experts, is refused by name', async () => {
  const stranger = small({ 'model.layers.0.mamba.conv': embedding });
  await assert.rejects(open(folder({ 'model.safetensors': stranger })), {
    code: 'unsupported',
    message: /"model\.layers\.0\.mamba\.conv" has no place/,
  });
  const experts = small({
    'model.layers.0.block_sparse_moe.experts.0.w1.weight': embedding,
    'model.layers.0.block_sparse_moe.experts.2.w1.weight': embedding,
  });
  await assert.rejects(open(folder({ 'model.safetensors': experts })), {
    code: 'bad-file',
    message: /number 1 is missing/,
  });
});

test('a config.json that is missing, damaged, or of what cannot be run', async () => {
  const { 'config.json': _, ...bare } = folder();
  await assert.rejects(open(bare), { code: 'not-found', message: /config\.json is missing/ });
  await assert.rejects(open({ 'config.json': '{}' }), {
    code: 'unsupported',
    message: /names no architecture/,
  });
  await assert.rejects(open(folder({ 'config.json': '{' })), { code: 'bad-file', message: /not valid JSON/ });
  await assert.rejects(open(folder({ 'config.json': '[1]' })), { code: 'bad-file' });
  const changes: readonly (readonly [object, string, RegExp])[] = [
    [{ architectures: ['BertModel'] }, 'unsupported', /"BertModel"; these are read: LlamaForCausalLM/],
    [{ hidden_size: 'four' }, 'bad-file', /hidden_size is "four", not a number/],
    [{ num_hidden_layers: -1 }, 'bad-file', /num_hidden_layers is -1, not a count/],
    [{ num_hidden_layers: 1.5 }, 'bad-file', /not a count/],
    [{ rope_scaling: { type: 'spiral' } }, 'unsupported', /"spiral"/],
    [{ hidden_act: 'relu' }, 'unsupported', /hidden_act is "relu"/],
    [{ quantization_config: { quant_method: 'gptq' } }, 'unsupported', /"gptq"/],
    [{ quantization_config: {} }, 'unsupported', /quantization_config/],
  ];
  for (const [change, code, message] of changes) {
    const files = folder({ 'config.json': JSON.stringify({ ...config, ...change }) });
    await assert.rejects(open(files), { code, message }, JSON.stringify(change));
  }
});

test('where the head is the embedding a copy of it is left out', async () => {
  const both = small({ 'lm_head.weight': embedding });
  for (const [tie, names] of [
    [true, ['token_embd.weight']],
    [false, ['token_embd.weight', 'output.weight']],
  ] as const) {
    const files = folder({
      'config.json': JSON.stringify({ ...config, tie_word_embeddings: tie }),
      'model.safetensors': both,
    });
    assert.deepEqual([...(await open(files)).tensors.keys()], names);
  }
});

test('of a model that also sees the language part is read; what its class takes for granted is filled in', async () => {
  const text = {
    hidden_size: 2048,
    num_hidden_layers: 1,
    intermediate_size: 4,
    sliding_window: 1024,
    query_pre_attn_scalar: 256,
  };
  const both = {
    architectures: ['Gemma3ForConditionalGeneration'],
    text_config: text,
    vision_config: { hidden_size: 9 },
  };
  const tensors = {
    'language_model.model.embed_tokens.weight': embedding,
    'vision_tower.vision_model.post_layernorm.weight': embedding,
    'multi_modal_projector.mm_soft_emb_norm.weight': embedding,
  };
  const files = folder({ 'config.json': JSON.stringify(both), 'model.safetensors': weights(tensors) });
  const { metadata, tensors: read } = await open(files);
  assert.deepEqual([...read.keys()], ['token_embd.weight']);
  for (const [key, value] of [
    ['embedding_length', 2048],
    ['attention.head_count', 8],
    ['attention.head_count_kv', 4],
    ['attention.key_length', 256],
    ['attention.sliding_window', 1024],
    ['rope.freq_base', 1_000_000],
  ] as const) {
    assert.equal(metadata.number(`gemma3.${key}`), value, key);
  }
  const other = { ...both, text_config: { ...text, query_pre_attn_scalar: 128 } };
  const refused = folder({ ...files, 'config.json': JSON.stringify(other) });
  await assert.rejects(open(refused), { code: 'unsupported', message: /query_pre_attn_scalar is 128/ });
});

test('weights beside those of the model are left alone where they are copies in another form', async () => {
  const more = { 'consolidated.safetensors': weights({ 'tok_embeddings.weight': embedding }) };
  assert.deepEqual([...(await open({ ...more, ...folder() })).tensors.keys()], ['token_embd.weight']);
  assert.equal(weightsOf(await open({ ...shards, ...more })).length, 2);
});
