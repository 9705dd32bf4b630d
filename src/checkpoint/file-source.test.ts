import assert from 'node:assert/strict';
import { mkdtemp, open, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { type ByteSink, openCheckpoint, writeGguf } from '../checkpoint.ts';
import { formatByName } from '../format.ts';
import { openFileSource } from './file-source.ts';

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'nearfield-file-'));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

test('bytes go straight into shared memory, at any offset', async (t) => {
  const path = join(await folder(t), 'bytes');
  await writeFile(
    path,
    Uint8Array.from({ length: 1000 }, (_, i) => i),
  );
  const source = await openFileSource(path);
  const target = new Uint8Array(new SharedArrayBuffer(16), 3, 5);
  await source.readInto(300, target);
  assert.deepEqual([...target], [44, 45, 46, 47, 48]);
  await source.readInto(1000, target.subarray(0, 0));
  await assert.rejects(source.readInto(996, target), {
    code: 'bad-file',
    message: /1000 bytes; 5 bytes at offset 996/,
  });
  await assert.rejects(source.readInto(-1, target), { code: 'bad-argument' });
  await assert.rejects(source.readInto(0, target, AbortSignal.abort()), { code: 'aborted' });
  await source.close();
  await assert.rejects(source.readInto(0, target), { code: 'io' });
});

test('a file cut while it is open is noticed', async (t) => {
  const path = join(await folder(t), 'cut');
  await writeFile(path, new Uint8Array(1000));
  const source = await openFileSource(path);
  await truncate(path, 600);
  await source.readInto(0, new Uint8Array(600));
  await assert.rejects(source.readInto(500, new Uint8Array(200)), {
    code: 'bad-file',
    message: /ends at byte 600 but had 1000/,
  });
  await source.close();
});

test('what is not a readable file is refused in one line', async (t) => {
  const path = await folder(t);
  await assert.rejects(openCheckpoint(join(path, 'absent.gguf')), {
    code: 'not-found',
    message: /absent\.gguf/,
  });
  await assert.rejects(openCheckpoint(pathToFileURL(join(path, 'absent.gguf'))), { code: 'not-found' });
  await assert.rejects(openCheckpoint(path), { code: 'bad-argument', message: /is a folder/ });
  await assert.rejects(openCheckpoint('a\0b'), { code: 'io' });
  await assert.rejects(openCheckpoint(''), { code: 'not-found' });
  await assert.rejects(openCheckpoint('file://elsewhere/x'), { code: 'bad-argument' });
  await assert.rejects(openCheckpoint(new URL('ftp://example.org/x')), {
    code: 'unsupported',
    message: /ftp:/,
  });
});

test('a named pipe is refused rather than waited for', {
  skip: process.platform === 'win32' && 'no /dev/null',
}, async () => {
  await assert.rejects(openCheckpoint('/dev/null'), { code: 'bad-argument', message: /not a regular file/ });
});

/** Writes holes for buffers that are `hole`, so that gigabytes cost no disk. */
async function sparseSink(path: string, hole: Uint8Array): Promise<ByteSink> {
  const file = await open(path, 'w');
  let length = 0;
  return {
    name: path,
    async write(bytes) {
      if (bytes.buffer !== hole.buffer) await file.write(bytes, 0, bytes.byteLength, length);
      length += bytes.byteLength;
    },
    async finish() {
      await file.truncate(length);
      await file.close();
    },
    async discard() {
      await file.close();
    },
  };
}

test('tensors over 2 GiB and beyond 4 GiB are read where they lie', async (t) => {
  const path = join(await folder(t), 'sparse.gguf');
  const hole = new Uint8Array(4 * 1024 * 1024);
  const format = formatByName('f16');
  const shape = [3 * 2 ** 19 + 5, 1000];
  const byteLength = (3 * 2 ** 19 + 5) * 1000 * 2;
  const marks = (name: number) => (offset: number, length: number) =>
    offset + length === byteLength
      ? Uint8Array.from({ length }, (_, i) => i + name)
      : hole.subarray(0, length);
  const tensors = [
    { name: 'first', format, shape, data: marks(1) },
    { name: 'second', format, shape, data: marks(2) },
    { name: 'last', format, shape: [4], data: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) },
  ];
  try {
    await writeGguf(await sparseSink(path, hole), { metadata: {}, tensors });
  } catch (error) {
    t.skip(`the file system has no room for a sparse file of 6 GiB (${error})`);
    return;
  }
  const checkpoint = await openCheckpoint(path);
  assert.ok(checkpoint.byteLength > 6e9);
  for (const [index, name] of ['first', 'second'].entries()) {
    const entry = checkpoint.tensors.get(name);
    assert.ok(entry && entry.byteLength === byteLength && byteLength > 2 ** 31);
    const lastPiece = byteLength % hole.byteLength;
    const seam = new Uint8Array(8);
    await checkpoint.read(entry, byteLength - lastPiece - 4, seam);
    assert.deepEqual([...seam], [0, 0, 0, 0, 1 + index, 2 + index, 3 + index, 4 + index], name);
  }
  const last = checkpoint.tensors.get('last');
  assert.ok(last && last.byteOffset > 2 ** 32);
  const bytes = new Uint8Array(8);
  await checkpoint.read(last, 0, bytes);
  assert.deepEqual([...bytes], [1, 2, 3, 4, 5, 6, 7, 8]);
  await checkpoint.close();

  await truncate(path, checkpoint.byteLength - 25);
  await assert.rejects(openCheckpoint(path), {
    code: 'bad-file',
    message: /the last 1 of the 8 bytes of tensor "last"/,
  });
});
