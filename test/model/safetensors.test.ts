/** One model as a GGUF file and as a folder of transformers: the same tensors, logits and ids of texts, bit for bit. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  type Checkpoint,
  copyOfMetadata,
  fileSink,
  memorySink,
  openCheckpoint,
  writeGguf,
} from '../../src/checkpoint.ts';
import { decodeRow, formatByName } from '../../src/format.ts';
import { Engine, inspectModel } from '../../src/index.ts';
import { randomText, seededRandom } from '../../src/tokenizer/fixture/small-vocabularies.ts';
import { openTokenizer, type Tokenizer } from '../../src/tokenizer.ts';
import { worstDifference } from '../fixture/compare-logits.ts';
import { feedChain, openRunner } from '../fixture/model-runner.ts';
import { savedFamily, savedScaling } from '../fixture/saved-families.ts';
import { temporaryFolder } from '../fixture/temporary-folder.ts';
import { type TinyShapeName, tinyModelBytes, tinyShapeNames, tinyShapes } from '../fixture/tiny-model.ts';
import { type FolderFiles, transformersFolder } from '../fixture/transformers-folder.ts';
import { openOracle } from '../oracle/llama.ts';

const ids = Array.from({ length: 40 }, (_, index) => (index * 37 + 11) % 280);

/** As a page has them that lets the user pick a folder: in no order, and with others among them. */
const pickedFiles = (files: FolderFiles): File[] => [
  new File(['# A model'], 'README.md'),
  ...Array.from(files, ([name, bytes]) => new File([bytes], name)),
];

/** Undefined where no folders of the family are made here. */
async function folderOf(name: TinyShapeName, gguf: Uint8Array, parts = 1): Promise<FolderFiles | undefined> {
  const shape = tinyShapes[name];
  const checkpoint = await openCheckpoint(gguf);
  const family = savedFamily(checkpoint.tensors, shape.architecture);
  return family && transformersFolder(checkpoint, family, { parts, config: savedScaling(shape) });
}

async function logitsOf(input: Parameters<typeof openRunner>[0]) {
  await using runner = await openRunner(input, { backend: 'wasm', threads: 1 });
  return await feedChain(runner, runner.cache.openSequence(), ids);
}

/** Reads a tensor in pieces that fit nothing. */
async function bytesOf(checkpoint: Checkpoint, name: string): Promise<Uint8Array> {
  const entry = checkpoint.tensors.get(name);
  const bytes = new Uint8Array(entry?.byteLength ?? 0);
  for (let at = 0; entry && at < bytes.length; at += 1001) {
    await checkpoint.read(entry, at, bytes.subarray(at, at + 1001));
  }
  return bytes;
}

/** With norms that keep all their digits when one is taken off and added again. */
async function withPlainNorms(gguf: Uint8Array): Promise<Uint8Array> {
  const changed = gguf.slice();
  for (const [name, { byteOffset, byteLength }] of (await openCheckpoint(gguf)).tensors) {
    if (!/norm\.weight$/.test(name)) continue;
    const values = new Float32Array(changed.buffer, byteOffset, byteLength / 4);
    for (const [index, value] of values.entries()) values[index] = Math.round(value * 4096) / 4096;
  }
  return changed;
}

/** What a folder says in other words, or not at all. */
const saidOtherwise =
  /^general\.(?:name|quantization_version|file_type)$|^tokenizer\.ggml\.(?:scores|token_type|pre)$|^gpt-oss\.feed_forward_length$/;

for (const name of tinyShapeNames) {
  test(`${name}: the same model`, async (t) => {
    for (const [format, parts] of [
      ['f32', 1],
      ['bf16', 3],
    ] as const) {
      const gguf = await withPlainNorms(await tinyModelBytes(name, { format: formatByName(format) }));
      const folder = await folderOf(name, gguf, parts);
      if (!folder) return t.skip('no folders of this family are made here');
      const files = pickedFiles(folder);
      const [ours, theirs] = [await openCheckpoint(files), await openCheckpoint(gguf)];
      assert.equal(ours.container, 'safetensors');
      assert.equal(ours.parts.filter((part) => part.name.endsWith('.safetensors')).length, parts);
      assert.deepEqual([...ours.tensors.keys()].sort(), [...theirs.tensors.keys()].sort());
      for (const [tensor, { format: type, shape }] of theirs.tensors) {
        const own = ours.tensors.get(tensor);
        assert.deepEqual(own?.shape, shape, tensor);
        const [bytes, wanted] = [await bytesOf(ours, tensor), await bytesOf(theirs, tensor)];
        // What is no product's matrix is in f32, whatever the file of the test has.
        if (own?.format === type) assert.deepEqual(bytes, wanted, tensor);
        else assert.deepEqual([own?.format.name, bytes.length], ['f32', 2 * wanted.length], tensor);
      }
      for (const [key, value] of theirs.metadata.entries) {
        if (saidOtherwise.test(key)) continue;
        assert.deepEqual(ours.metadata.entries.get(key), value, key);
        assert.equal(ours.metadata.storedTypes?.get(key), theirs.metadata.storedTypes?.get(key), key);
      }
      // Of the same tensors; deep models take long.
      if (format !== 'f32' || tinyShapes[name].layers > 8) continue;
      const logits = await logitsOf(files);
      for (const [row, wanted] of (await logitsOf(gguf)).entries()) {
        const other = wanted.findIndex((value, id) => value !== logits[row]?.[id]);
        assert.ok(other < 0, `row ${row} differs at ${other}`);
      }
    }
  });
}

async function convert(folder: string, target: string): Promise<void> {
  const checkpoint = await openCheckpoint(folder);
  const tensors = Array.from(checkpoint.tensors.values(), (entry) => ({
    ...entry,
    async data(offset: number, length: number) {
      const bytes = new Uint8Array(length);
      await checkpoint.read(entry, offset, bytes);
      return bytes;
    },
  }));
  await writeGguf(await fileSink(target), { metadata: copyOfMetadata(checkpoint.metadata), tensors });
  await checkpoint.close();
}

async function writeFolder(path: string, files: FolderFiles): Promise<string> {
  await mkdir(path);
  for (const [name, bytes] of files) await writeFile(`${path}/${name}`, bytes);
  return path;
}

async function tokenizerOf(path: string): Promise<Tokenizer> {
  const checkpoint = await openCheckpoint(path);
  await checkpoint.close();
  return openTokenizer(checkpoint.metadata);
}

test('converted folders run in llama.cpp', async (t) => {
  const opened = await openOracle({ cache: 'f32' });
  if ('skip' in opened) return t.skip(opened.skip);
  await using oracle = opened;
  await using temporary = await temporaryFolder();
  for (const name of [
    'llama',
    'llama, llama3 rope',
    'qwen2',
    'gemma2',
    'gpt2',
    'falcon, 40B',
    'olmo2, 3',
  ] as const) {
    const files = await folderOf(name, await tinyModelBytes(name));
    assert.ok(files);
    const folder = await writeFolder(temporary.path(name.replace(/\W+/g, '-')), files);
    const converted = `${folder}.gguf`;
    await convert(folder, converted);
    const worst = worstDifference(await logitsOf(folder), await oracle.logits(converted, ids));
    assert.ok(worst < 1e-3, `${name}: worst difference ${worst}`);
    const ours = await tokenizerOf(folder);
    for (const text of ['a tale of 12 kings', ' é 中\n\tx  y']) {
      assert.deepEqual(ours.encode(text), await oracle.tokenize(converted, text), `${name}: ${text}`);
    }
  }
});

const tales = readFileSync(new URL('../../models/fable/README.md', import.meta.url), 'utf8');
const fable = fileURLToPath(new URL('../../models/fable/fable-4m-q8_0.gguf', import.meta.url));

/** The model's own f32 file is not in a clone; what the one in 8 bits decodes to is a model as well. */
async function fableFolder(): Promise<FolderFiles> {
  const checkpoint = await openCheckpoint(fable);
  const f32 = formatByName('f32');
  const tensors = [];
  for (const entry of checkpoint.tensors.values()) {
    const bytes = new Uint8Array(entry.byteLength);
    await checkpoint.read(entry, 0, bytes);
    const values = new Float32Array(entry.shape.reduce((product, size) => product * size, 1));
    decodeRow(entry.format, bytes, 0, values, 0, values.length);
    tensors.push({ ...entry, format: f32, data: new Uint8Array(values.buffer) });
  }
  const sink = memorySink();
  await writeGguf(sink, { metadata: copyOfMetadata(checkpoint.metadata), tensors });
  await checkpoint.close();
  const floats = await openCheckpoint(sink.bytes());
  const family = savedFamily(floats.tensors, 'llama');
  assert.ok(family);
  return transformersFolder(floats, family, { parts: 2 });
}

test('fable as a folder: tells the tale of the GGUF file, and encodes every text alike', async () => {
  await using temporary = await temporaryFolder();
  const folder = await writeFolder(temporary.path('fable-4m'), await fableFolder());
  const options = { maxTokens: 24 };
  const prompt = 'The old king';
  await using engine = await Engine.load(folder, { threads: 1 });
  assert.equal(engine.description.name, 'fable-4m');
  await using session = await engine.session();
  const ours = await session.generate(prompt, options).result();
  await using file = await Engine.load(fable, { threads: 1 });
  await using other = await file.session();
  const theirs = await other.generate(prompt, options).result();
  assert.equal(ours.text, theirs.text);
  const [own, recorded] = [await tokenizerOf(folder), await tokenizerOf(fable)];
  const random = seededRandom(5);
  for (let trial = 0; trial < 200; trial++) {
    const text = trial < 50 ? tales.slice(40 * trial, 40 * trial + 200) : randomText(random, 60);
    assert.deepEqual(
      own.encode(text, { addSpecial: true }),
      recorded.encode(text, { addSpecial: true }),
      text,
    );
  }
  assert.deepEqual(own.endIds, recorded.endIds);
  const inspection = await inspectModel(folder);
  assert.deepEqual([inspection.container, inspection.problems], ['safetensors', []]);
});
