import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memorySink, openCheckpoint } from '../../src/checkpoint.ts';
import { decodeRow, formatByName, formats } from '../../src/format.ts';
import { formatMix } from './format-mixes.ts';
import { type ModelShape, modelShapes } from './model-shapes.ts';
import { type RandomModelOptions, writeRandomModel } from './random-model.ts';
import { RandomWeights } from './random-weights.ts';

const small: ModelShape = {
  architecture: 'llama',
  layers: 1,
  hidden: 256,
  feedForward: 512,
  heads: 4,
  keyValueHeads: 2,
  vocabulary: 512,
  context: 128,
  tokenizer: 'spm',
};

async function write(options: Partial<RandomModelOptions> = {}): Promise<Uint8Array> {
  const sink = memorySink();
  await writeRandomModel(sink, { shape: small, format: formatByName('q8_0'), ...options });
  return sink.bytes();
}

test('a seed gives the same bytes, another seed others', async () => {
  const [first, again, other] = [
    await write({ seed: 7 }),
    await write({ seed: 7 }),
    await write({ seed: 8 }),
  ];
  assert.deepEqual(first, again);
  assert.notDeepEqual(first, other);
});

for (const name of ['f32', 'f16', 'q8_0', 'q4_0', 'q4_k']) {
  test(`a large matrix in ${name} has the wanted deviation and no two rows alike`, async () => {
    const [format, rowCount, rowValues] = [formatByName(name), 1200, 1024];
    const tensor = { format, shape: [rowCount, rowValues], mean: 0, deviation: 1 / 32 };
    const pieces: Uint8Array[] = [];
    for (const piece of new RandomWeights(3).pieces(tensor)) pieces.push(piece.slice());
    const bytes = Buffer.concat(pieces);
    const values = new Float32Array(rowCount * rowValues);
    decodeRow(format, bytes, 0, values, 0, values.length);
    let squares = 0;
    for (const value of values) squares += value * value;
    const deviation = Math.sqrt(squares / values.length);
    assert.ok(Math.abs(deviation * 32 - 1) < 0.02, `deviation ${deviation}`);
    const width = bytes.length / rowCount;
    const rows = Array.from({ length: rowCount }, (_, row) =>
      bytes.toString('latin1', row * width, (row + 1) * width),
    );
    assert.equal(new Set(rows).size, rowCount);
  });
}

test('every format that has an encoder can be written', async () => {
  for (const format of formats.filter(({ encode }) => encode)) {
    const checkpoint = await openCheckpoint(await write({ format }));
    assert.equal(checkpoint.tensors.get('output.weight')?.format.name, format.name);
  }
});

test('a format whose blocks do not fill the rows gives way', async () => {
  const shape = { ...small, hidden: 224, headSize: 64 };
  const checkpoint = await openCheckpoint(await write({ shape, format: formatByName('q4_k') }));
  assert.equal(checkpoint.tensors.get('blk.0.attn_q.weight')?.format.name, 'q8_0');
  assert.equal(checkpoint.tensors.get('blk.0.ffn_down.weight')?.format.name, 'q4_k');
  assert.equal(checkpoint.tensors.get('blk.0.attn_norm.weight')?.format.name, 'f32');
});

test('the q4_k_m mix gives delicate tensors more bits', () => {
  const mix = formatMix('Q4_K_M', modelShapes['llama-3.2-1b']);
  assert.equal(mix('token_embd.weight').name, 'q6_k');
  assert.equal(mix('blk.5.attn_q.weight').name, 'q4_k');
  const more = [...Array(16).keys()].filter((layer) => mix(`blk.${layer}.ffn_down.weight`).name === 'q6_k');
  assert.deepEqual(more, [0, 1, 4, 7, 10, 13, 14, 15]);
  assert.equal(formatMix('q4_0', small)('output.weight').name, 'q4_0');
});

test('a vocabulary has as many different pieces as the shape says', async () => {
  for (const tokenizer of ['spm', 'bpe'] as const) {
    const checkpoint = await openCheckpoint(await write({ shape: { ...small, tokenizer } }));
    const pieces = checkpoint.metadata.strings('tokenizer.ggml.tokens');
    assert.equal(pieces.length, 512);
    assert.equal(new Set(pieces).size, 512);
  }
  await assert.rejects(write({ shape: { ...small, vocabulary: 259 } }), { code: 'bad-argument' });
});
