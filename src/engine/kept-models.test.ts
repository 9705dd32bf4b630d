import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { savedFamily } from '../../test/fixture/saved-families.ts';
import { temporaryFolder } from '../../test/fixture/temporary-folder.ts';
import { tinyModelBytes } from '../../test/fixture/tiny-model.ts';
import { transformersFolder } from '../../test/fixture/transformers-folder.ts';
import { openCheckpoint } from '../checkpoint.ts';
import {
  clearCache,
  deleteKeptModel,
  inspectModel,
  keepModel,
  listKeptModels,
  loadEngine,
  openKeptModel,
  storeUsage,
} from '../engine.ts';
import { formatByName } from '../format.ts';

const fable = (size: string) =>
  fileURLToPath(new URL(`../../models/fable/fable-${size}-q8_0.gguf`, import.meta.url));

test('a model is kept, listed, opened without its source, and deleted', async () => {
  await using folder = await temporaryFolder();
  const cacheFolder = folder.path('cache');
  assert.deepEqual(await listKeptModels({ cacheFolder }), []);
  const source = folder.path('tales.gguf');
  const bytes = await readFile(fable('1m'));
  await writeFile(source, bytes);
  const progress: number[] = [];
  const onProgress = ({ loadedBytes }: { loadedBytes: number }) => void progress.push(loadedBytes);
  const kept = await keepModel(source, { cacheFolder, onProgress });
  assert.equal(progress.at(-1), bytes.byteLength);
  const { id, keptAtMs, ...rest } = kept;
  assert.deepEqual(rest, {
    source,
    name: 'fable-1m',
    architecture: 'llama',
    byteLength: bytes.byteLength,
    keptBytes: bytes.byteLength,
  });
  assert.ok(Math.abs(Date.now() - keptAtMs) < 60_000);
  await keepModel(fable('4m'), { cacheFolder });
  await keepModel(source, { cacheFolder });
  const listed = await listKeptModels({ cacheFolder });
  assert.equal(listed.length, 2);
  assert.deepEqual(
    listed.find((model) => model.id === id),
    kept,
  );
  await writeFile(source, 'gone');
  const inspection = await inspectModel(await openKeptModel(kept, { cacheFolder }));
  assert.equal(inspection.fileBytes, bytes.byteLength);
  await deleteKeptModel(kept, { cacheFolder });
  await deleteKeptModel(kept, { cacheFolder });
  assert.deepEqual(
    (await listKeptModels({ cacheFolder })).map(({ name }) => name),
    ['fable-4m'],
  );
  await assert.rejects(openKeptModel(kept, { cacheFolder }), {
    code: 'not-found',
    message: /not kept whole/,
  });
});

test('a model whose keeping was broken off is listed with what is there, and goes on', async () => {
  await using folder = await temporaryFolder();
  const cacheFolder = folder.path('cache');
  const controller = new AbortController();
  const onProgress = () => controller.abort();
  const options = { cacheFolder, onProgress, signal: controller.signal };
  await assert.rejects(keepModel(fable('4m'), options), { code: 'aborted' });
  const [begun] = await listKeptModels({ cacheFolder });
  assert.ok(begun && begun.keptBytes > 0 && begun.keptBytes < begun.byteLength, JSON.stringify(begun));
  await assert.rejects(openKeptModel(begun, { cacheFolder }), { code: 'not-found' });
  const whole = await keepModel(fable('4m'), { cacheFolder });
  assert.equal(whole.id, begun.id);
  assert.equal(whole.keptBytes, whole.byteLength);
});

test('what is no kept model is cache, and damaged records are no models', async () => {
  await using folder = await temporaryFolder();
  const cacheFolder = folder.path('cache');
  const { id, byteLength } = await keepModel(fable('1m'), { cacheFolder });
  for (const [name, text] of Object.entries({
    'packed-0123': 'layers',
    'file-0123.partial': 'half',
    'model-0123': '{"source": 1}',
    'model-4567': '{"source":"a","name":"","architecture":"","keptAtMs":1,"files":[{"storedName":"../a"}]}',
  })) {
    await writeFile(join(cacheFolder, name), text);
  }
  const before = await storeUsage({ cacheFolder });
  assert.ok(before.cacheBytes > 100 && before.modelBytes > byteLength, JSON.stringify(before));
  assert.ok((before.roomBytes ?? 0) > 0);
  assert.equal((await listKeptModels({ cacheFolder })).length, 1);
  await clearCache({ cacheFolder });
  assert.equal((await storeUsage({ cacheFolder })).cacheBytes, 0);
  assert.equal((await listKeptModels({ cacheFolder }))[0]?.id, id);
  assert.equal((await readdir(cacheFolder)).length, 2);
});

test('of a folder that is kept the files keep their names', async () => {
  await using folder = await temporaryFolder();
  const cacheFolder = folder.path('cache');
  const checkpoint = await openCheckpoint(await tinyModelBytes('llama', { format: formatByName('f32') }));
  const family = savedFamily(checkpoint.tensors, 'llama');
  if (!family) assert.fail('a family of llama');
  const saved = await transformersFolder(checkpoint, family, { parts: 2 });
  await checkpoint.close();
  const kept = await keepModel(
    Array.from(saved, ([name, bytes]) => new File([bytes], name)),
    { cacheFolder },
  );
  const input = await openKeptModel(kept, { cacheFolder });
  // Looked at, then loaded: what was closed is opened again.
  const { container, fileBytes, problems } = await inspectModel(input);
  assert.deepEqual(
    { container, fileBytes, problems },
    { container: 'safetensors', fileBytes: kept.byteLength, problems: [] },
  );
  await using engine = await loadEngine(input, { threads: 1, contextLength: 64 });
  assert.equal(engine.description.fileBytes, kept.byteLength);
  await deleteKeptModel(kept, { cacheFolder });
  await assert.rejects(openKeptModel(kept, { cacheFolder }), { code: 'not-found' });
});
