import assert from 'node:assert/strict';
import { mkdtemp, open, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  identifyCheckpoint,
  memorySink,
  openCheckpoint,
  steadyCheckpoint,
  writeGguf,
} from '../checkpoint.ts';
import { formatByName } from '../format.ts';

async function modelBytes(lastByte: number): Promise<Uint8Array<ArrayBuffer>> {
  const sink = memorySink();
  const data = new Uint8Array(16_384).fill(7);
  data[10_000] = lastByte;
  await writeGguf(sink, {
    metadata: new Map(),
    tensors: [{ name: 'a', format: formatByName('f32'), shape: [4, 1024], data }],
  });
  return sink.bytes();
}

async function identityOf(input: string | Uint8Array | Blob, context = 'here'): Promise<string> {
  const checkpoint = await openCheckpoint(input);
  try {
    return await identifyCheckpoint(checkpoint, context);
  } finally {
    await checkpoint.close();
  }
}

test('a file is known again after it was moved, and not after it was written to', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'nearfield-same-'));
  t.after(() => rm(folder, { recursive: true }));
  const [path, moved] = [join(folder, 'a.gguf'), join(folder, 'b.gguf')];
  await writeFile(path, await modelBytes(1));
  const first = await identityOf(path);
  assert.match(first, /^[0-9a-f]{64}$/);
  assert.equal(await identityOf(path), first);
  assert.notEqual(await identityOf(path, 'elsewhere'), first);
  await rename(path, moved);
  assert.equal(await identityOf(moved), first);
  // A byte that no sample holds: only the time of change tells.
  await writeFile(moved, await modelBytes(2));
  await utimes(moved, 1, 1);
  assert.notEqual(await identityOf(moved), first);
});

test('bytes and Blobs, which tell no time of change, are known by all that is in them', async () => {
  const [one, two] = [await modelBytes(1), await modelBytes(2)];
  assert.equal(await identityOf(one), await identityOf(new Blob([one])));
  assert.notEqual(await identityOf(one), await identityOf(two));
});

test('a read after the file has changed is refused; a file put in its place is not seen', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'nearfield-same-'));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, 'a.gguf');
  await writeFile(path, await modelBytes(1));
  const checkpoint = await steadyCheckpoint(await openCheckpoint(path));
  const entry = checkpoint.tensors.get('a');
  assert.ok(entry);
  const target = new Uint8Array(8);
  await checkpoint.read(entry, 9_996, target);
  assert.equal(target[4], 1);
  await writeFile(join(folder, 'new'), await modelBytes(3));
  await rename(path, join(folder, 'old'));
  await rename(join(folder, 'new'), path);
  await checkpoint.read(entry, 9_996, target);
  assert.equal(target[4], 1);
  const handle = await open(join(folder, 'old'), 'r+');
  await handle.write(Uint8Array.of(9), 0, 1, 12_000);
  await handle.close();
  await assert.rejects(checkpoint.read(entry, 9_996, target), { code: 'bad-file', message: /changed/ });
  await checkpoint.close();
});
