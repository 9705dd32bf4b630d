import assert from 'node:assert/strict';
import { readdir, readFile, symlink, truncate, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { temporaryFolder } from '../../test/fixture/temporary-folder.ts';
import { tinyModelBytes } from '../../test/fixture/tiny-model.ts';
import { NearfieldError } from '../base/error.ts';
import {
  type ByteSink,
  type Checkpoint,
  copyOfMetadata,
  memorySink,
  openCheckpoint,
  writeGguf,
} from '../checkpoint.ts';
import { decodeRow, formatByName, formats } from '../format.ts';
import { recipeByName } from './choose-formats.ts';
import { type QuantizeOptions, quantizeCheckpoint } from './quantize-checkpoint.ts';

const tiny = await tinyModelBytes('llama');

async function quantized(
  source: Uint8Array,
  to: string,
  options: Partial<QuantizeOptions> = {},
): Promise<Checkpoint> {
  const [checkpoint, sink] = [await openCheckpoint(source), memorySink()];
  await quantizeCheckpoint(checkpoint, sink, { recipe: recipeByName(to), threads: 1, ...options });
  return openCheckpoint(sink.bytes());
}

async function bytesOf(checkpoint: Checkpoint, name: string): Promise<Uint8Array> {
  const entry = checkpoint.tensors.get(name);
  assert.ok(entry);
  const bytes = new Uint8Array(entry.byteLength);
  await checkpoint.read(entry, 0, bytes);
  return bytes;
}

async function valuesOf(checkpoint: Checkpoint, name: string): Promise<Float32Array> {
  const entry = checkpoint.tensors.get(name);
  assert.ok(entry);
  const values = new Float32Array(entry.shape.reduce((product, size) => product * size, 1));
  decodeRow(entry.format, await bytesOf(checkpoint, name), 0, values, 0, values.length);
  return values;
}

/** The tiny model with one weight changed. */
async function withWeight(tensor: string, index: number, value: number): Promise<Uint8Array> {
  const checkpoint = await openCheckpoint(tiny);
  const sink = memorySink();
  const tensors = [];
  for (const { name, format, shape } of checkpoint.tensors.values()) {
    const data = await bytesOf(checkpoint, name);
    if (name === tensor) new DataView(data.buffer).setFloat32(4 * index, value, true);
    tensors.push({ name, format, shape, data });
  }
  await writeGguf(sink, { metadata: copyOfMetadata(checkpoint.metadata), tensors });
  return sink.bytes();
}

test('metadata of every type are kept, but for what says how the file is quantized and split', async () => {
  const source = await openCheckpoint(tiny);
  const sink = memorySink();
  const more = new Map([
    ...copyOfMetadata(source.metadata),
    ['split.no', { type: 'uint16', value: 0 }],
    ['split.count', { type: 'uint16', value: 1 }],
    ['x.bytes', Int8Array.of(-1, 2)],
    ['x.large', { type: 'uint64', value: 2n ** 63n }],
    ['x.flags', [true, false]],
    ['x.nested', { type: 'array', of: 'array', value: [Float32Array.of(1.5), Float32Array.of(2.5)] }],
  ] as const);
  const tensors = [...source.tensors.values()].map(({ name, format, shape }) => {
    return { name, format, shape, data: () => bytesOf(source, name) };
  });
  await writeGguf(sink, { metadata: more as ReturnType<typeof copyOfMetadata>, tensors });
  const before = await openCheckpoint(sink.bytes());
  const after = await quantized(sink.bytes(), 'q8_0');
  const changed = ['general.file_type', 'general.quantization_version', 'split.no', 'split.count'];
  for (const [key, value] of before.metadata.entries) {
    if (changed.includes(key)) continue;
    assert.deepEqual(after.metadata.entries.get(key), value, key);
    assert.equal(after.metadata.storedTypes?.get(key), before.metadata.storedTypes?.get(key), key);
  }
  assert.equal(after.metadata.number('general.file_type'), 7);
  assert.equal(after.metadata.number('general.quantization_version'), 2);
  assert.ok(!after.metadata.has('split.count'));
  assert.deepEqual([...after.tensors.keys()], [...before.tensors.keys()]);
});

test('floats come through exactly, vectors in any case', async () => {
  const source = await openCheckpoint(tiny);
  const same = await quantized(tiny, 'f32');
  for (const name of source.tensors.keys())
    assert.deepEqual(await bytesOf(same, name), await bytesOf(source, name), name);
  const half = await quantized(tiny, 'f16');
  const back = await quantized(await fileOf(half), 'f32');
  for (const name of source.tensors.keys())
    assert.deepEqual(await valuesOf(back, name), await valuesOf(half, name), name);
  const coarse = await quantized(tiny, 'q4_0');
  assert.deepEqual(await bytesOf(coarse, 'output_norm.weight'), await bytesOf(source, 'output_norm.weight'));
});

async function fileOf(checkpoint: Checkpoint): Promise<Uint8Array> {
  const [part] = checkpoint.parts;
  const bytes = new Uint8Array(part?.byteLength ?? 0);
  await part?.readInto(0, bytes);
  return bytes;
}

test('threads write the bytes that one thread writes, in every format', async () => {
  const [alone, together] = [memorySink(), memorySink()];
  const overrides = formats
    .filter(({ encode, ggufType }) => encode && ggufType !== undefined)
    .map(({ name }, index) => ({
      pattern: new RegExp(
        `^blk\\.${index % 3}\\.${['attn_q', 'attn_k', 'attn_v', 'attn_output', 'ffn_gate', 'ffn_up', 'ffn_down'][Math.floor(index / 3)]}`,
      ),
      format: name,
    }));
  const options = { recipe: recipeByName('q4_k_m'), overrides };
  const report = await quantizeCheckpoint(await openCheckpoint(tiny), alone, { ...options, threads: 1 });
  await quantizeCheckpoint(await openCheckpoint(tiny), together, { ...options, threads: 3 });
  assert.deepEqual(together.bytes(), alone.bytes());
  assert.ok(report.tensors.every(({ relativeError }) => relativeError < 0.4));
  assert.equal(
    report.targetBytes,
    report.tensors.reduce((sum, { byteLength }) => sum + byteLength, 0),
  );
});

test('an importance matrix changes what it names, is written down, and must fit', async () => {
  const columns = Float32Array.from({ length: 64 }, (_, column) => (column < 8 ? 1 : 1e-4));
  const entry = { sums: columns, counts: Float32Array.of(1) };
  const content = {
    entries: new Map([['blk.0.attn_q.weight', entry]]),
    datasets: ['tales'],
    chunkCount: 3,
    chunkSize: 64,
  };
  const imatrix = { name: 'tales.gguf', content };
  const [blind, aware, source] = [
    await quantized(tiny, 'q4_0'),
    await quantized(tiny, 'q4_0', { imatrix }),
    await openCheckpoint(tiny),
  ];
  const truth = await valuesOf(source, 'blk.0.attn_q.weight');
  const weighted = async (checkpoint: Checkpoint): Promise<number> =>
    (await valuesOf(checkpoint, 'blk.0.attn_q.weight')).reduce(
      (sum, value, i) => sum + (columns[i % 64] ?? 0) * (value - (truth[i] ?? 0)) ** 2,
      0,
    );
  assert.ok((await weighted(aware)) < 0.9 * (await weighted(blind)));
  assert.deepEqual(await bytesOf(aware, 'blk.0.attn_k.weight'), await bytesOf(blind, 'blk.0.attn_k.weight'));
  assert.equal(aware.metadata.string('quantize.imatrix.file'), 'tales.gguf');
  assert.equal(aware.metadata.number('quantize.imatrix.chunks_count'), 3);
  const foreign = {
    ...content,
    entries: new Map([['blk.0.attn_q.weight', { ...entry, sums: columns.slice(0, 32) }]]),
  };
  await assert.rejects(quantized(tiny, 'q4_0', { imatrix: { name: 'x', content: foreign } }), {
    code: 'bad-argument',
  });
});

test('error feedback lowers the error of what the calibration text brings', async () => {
  const windows = [0, 1, 2].map((window) =>
    Array.from({ length: 100 }, (_, i) => (i * 37 + 11 * window) % 280),
  );
  const feedback = { windows, backend: 'reference' } as const;
  const name = 'blk.0.attn_q.weight';
  const [plain, fed, together, source] = [
    await quantized(tiny, 'q4_0'),
    await quantized(tiny, 'q4_0', { feedback }),
    // As little room as can be: a run of the text for each input.
    await quantized(tiny, 'q4_0', { feedback: { ...feedback, covarianceBytes: 1 }, threads: 2 }),
    await openCheckpoint(tiny),
  ];
  assert.deepEqual(await fileOf(together), await fileOf(fed));
  assert.deepEqual(await bytesOf(fed, 'output.weight'), await bytesOf(plain, 'output.weight'));
  const [truth, embedding] = [await valuesOf(source, name), await valuesOf(source, 'token_embd.weight')];
  const norm = await valuesOf(source, 'blk.0.attn_norm.weight');
  const errorOf = async (checkpoint: Checkpoint): Promise<number> => {
    const values = await valuesOf(checkpoint, name);
    let sum = 0;
    for (const id of windows.flat()) {
      for (let row = 0; row < 64; row++) {
        let product = 0;
        for (let i = 0; i < 64; i++) {
          const input = (embedding[id * 64 + i] ?? 0) * (norm[i] ?? 0);
          product += input * ((values[row * 64 + i] ?? 0) - (truth[row * 64 + i] ?? 0));
        }
        sum += product * product;
      }
    }
    return sum;
  };
  const [before, after] = [await errorOf(plain), await errorOf(fed)];
  assert.ok(after < 0.95 * before, `${after} with feedback, ${before} without`);
  await assert.rejects(quantized(tiny, 'q8_0', { feedback }), {
    code: 'bad-argument',
    message: /even levels: q4_0/,
  });
});

test('weights that are no finite numbers, or too large for halves, are refused by name', async () => {
  for (const [index, value] of [
    [130, Number.NaN],
    [0, Number.POSITIVE_INFINITY],
  ] as const) {
    const broken = await withWeight('blk.1.ffn_up.weight', index, value);
    for (const threads of [1, 2]) {
      await assert.rejects(quantized(broken, 'q4_0', { threads }), {
        code: 'bad-file',
        message: new RegExp(
          `^Tensor blk\\.1\\.ffn_up\\.weight, row ${Math.floor(index / 64)}, value ${index % 64} is no finite`,
        ),
      });
    }
    // Also where nothing is encoded.
    await assert.rejects(quantized(broken, 'f32'), { code: 'bad-file' });
  }
  const large = await withWeight('blk.1.ffn_up.weight', 3, 1e6);
  await assert.rejects(quantized(large, 'f16'), {
    code: 'bad-argument',
    message: /too large for f16; choose bf16 or f32/,
  });
  assert.ok(await quantized(large, 'bf16'));
});

test('after a failure there is no output, an older one is untouched, and so is the source', async () => {
  await using folder = await temporaryFolder();
  const [source, out] = [folder.path('in.gguf'), folder.path('out.gguf')];
  const broken = await withWeight('output.weight', 5, Number.NaN);
  await writeFile(source, broken);
  await writeFile(out, 'older');
  const before = await readdir(folder.path('.'));
  const run = async (options: Partial<QuantizeOptions> = {}, path = out): Promise<void> => {
    const checkpoint = await openCheckpoint(source);
    try {
      await quantizeCheckpoint(checkpoint, path, { recipe: recipeByName('q4_0'), threads: 1, ...options });
    } finally {
      await checkpoint.close();
    }
  };
  await assert.rejects(run(), { code: 'bad-file' });
  const stop = new AbortController();
  const onProgress = () => stop.abort();
  await assert.rejects(run({ signal: stop.signal, onProgress }), { code: 'aborted' });
  await assert.rejects(run({ signal: AbortSignal.abort() }), { code: 'aborted' });
  await symlink(source, folder.path('link.gguf'));
  for (const own of [source, folder.path('link.gguf')]) {
    await assert.rejects(run({}, own), { code: 'bad-argument', message: /the source itself/ });
  }
  await assert.rejects(run({}, folder.path('no/such/folder/out.gguf')), { code: 'not-found' });
  assert.deepEqual(await readdir(folder.path('.')), [...before, 'link.gguf'].sort());
  assert.equal(await readFile(out, 'utf8'), 'older');
  assert.equal(Buffer.compare(await readFile(source), broken), 0);
});

test('a source that is cut short while it is read is refused', async () => {
  await using folder = await temporaryFolder();
  const [source, out] = [folder.path('in.gguf'), folder.path('out.gguf')];
  await writeFile(source, tiny);
  const checkpoint = await openCheckpoint(source);
  await truncate(source, Math.floor(tiny.byteLength / 2));
  const run = quantizeCheckpoint(checkpoint, out, { recipe: recipeByName('q4_0'), threads: 2 });
  await assert.rejects(run, { code: 'bad-file', message: /in\.gguf ends at byte/ });
  await checkpoint.close();
  assert.deepEqual(await readdir(folder.path('.')), ['in.gguf']);
});

test('a disk that fills up ends the run, and what was written is discarded', async () => {
  let [room, discarded] = [60_000, 0];
  const sink: ByteSink = {
    name: 'full disk',
    async write(bytes) {
      room -= bytes.byteLength;
      if (room < 0) throw new NearfieldError('io', 'No space left on the disk of full disk');
    },
    async finish() {
      assert.fail('it is not whole');
    },
    async discard() {
      discarded++;
    },
  };
  const checkpoint = await openCheckpoint(tiny);
  const run = quantizeCheckpoint(checkpoint, sink, { recipe: recipeByName('q8_0'), threads: 2 });
  await assert.rejects(run, { code: 'io', message: /No space left/ });
  assert.equal(discarded, 1);
});

test('large tensors go through in pieces', async () => {
  const [rows, columns] = [4096, 512];
  const f32 = formatByName('f32');
  const sink = memorySink();
  const row = new Uint8Array(Float32Array.from({ length: columns }, (_, i) => Math.sin(i)).buffer);
  const data = Array.from({ length: rows }, () => row);
  const metadata = { 'general.architecture': 'llama' };
  await writeGguf(sink, {
    metadata,
    tensors: [{ name: 'blk.0.attn_q.weight', format: f32, shape: [rows, columns], data }],
  });
  const whole = await openCheckpoint(sink.bytes());
  let mostBytes = 0;
  const watched: Checkpoint = {
    ...whole,
    ...{
      name: whole.name,
      container: whole.container,
      metadata: whole.metadata,
      tensors: whole.tensors,
      parts: whole.parts,
    },
    read: (entry, offset, target, signal) => {
      mostBytes = Math.max(mostBytes, target.byteLength);
      return whole.read(entry, offset, target, signal);
    },
    close: () => whole.close(),
  };
  const out = memorySink();
  const progress: number[] = [];
  await quantizeCheckpoint(watched, out, {
    recipe: recipeByName('q8_0'),
    threads: 1,
    onProgress: (done) => progress.push(done),
  });
  assert.ok(mostBytes <= 2 ** 20, `${mostBytes} bytes at once`);
  assert.equal(progress.at(-1), rows * columns * 4);
  assert.ok(progress.length > 10);
  const values = await valuesOf(await openCheckpoint(out.bytes()), 'blk.0.attn_q.weight');
  assert.ok(values.every((value, i) => Math.abs(value - Math.sin(i % columns)) < 0.01));
});
