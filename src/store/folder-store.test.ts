import assert from 'node:assert/strict';
import { chmod, mkdtemp, open, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openStore, type Store } from '../store.ts';

async function openTemporary(t: TestContext): Promise<{ store: Store; folder: string }> {
  const parent = await mkdtemp(join(tmpdir(), 'nearfield-store-'));
  t.after(() => rm(parent, { recursive: true }));
  const folder = join(parent, 'cache');
  return { store: await openStore({ folder }), folder };
}

const bytesFrom = (first: number, count: number) => Uint8Array.from({ length: count }, (_, i) => first + i);

test('a file has its name once it is finished, and is then read and repaired in place', async (t) => {
  const { store, folder } = await openTemporary(t);
  assert.ok(((await store.roomBytes()) ?? 0) > 0);
  assert.equal(await store.open('a.weights'), undefined);
  await assert.rejects(readdir(folder), { code: 'ENOENT' });
  const draft = await store.begin('a.weights');
  await draft.write(10, bytesFrom(10, 10));
  await draft.write(0, bytesFrom(0, 10));
  assert.equal(await store.open('a.weights'), undefined);
  const written = await draft.finish();
  await draft.end({ keep: false });
  assert.equal(written.byteLength, 20);
  const read = await store.open('a.weights');
  assert.equal(read?.byteLength, 20);
  const target = new Uint8Array(new SharedArrayBuffer(8), 2, 5);
  await read?.readInto(8, target);
  assert.deepEqual([...target], [8, 9, 10, 11, 12]);
  await read?.replace(9, new Uint8Array([90, 91]));
  await written.readInto(8, target);
  assert.deepEqual([...target], [8, 90, 91, 11, 12]);
  for (const file of [read, written]) {
    await file?.close();
    await file?.close();
  }
  await assert.rejects(written.readInto(0, target), { code: 'io' });
  assert.deepEqual(await readdir(folder), ['a.weights']);
});

test('what was begun is gone on with, or forgotten', async (t) => {
  const { store, folder } = await openTemporary(t);
  const first = await store.begin('b');
  await first.write(0, bytesFrom(0, 7));
  await first.end({ keep: true });
  const second = await store.begin('b');
  assert.equal(second.byteLength, 7);
  await second.end({ keep: false });
  assert.deepEqual(await readdir(folder), []);
});

test('two that write the same file both have it in the end', async (t) => {
  const { store, folder } = await openTemporary(t);
  const drafts = [await store.begin('c'), await store.begin('c')];
  const files = [];
  for (const draft of drafts) await draft.write(0, bytesFrom(1, 6));
  for (const draft of drafts) {
    await draft.write(6, bytesFrom(7, 6));
    files.push(await draft.finish());
  }
  for (const file of files) {
    const target = new Uint8Array(12);
    await file.readInto(0, target);
    assert.deepEqual(target, bytesFrom(1, 12));
    await file.close();
  }
  assert.deepEqual(await readdir(folder), ['c']);
});

test('a file that was cut, and a folder that cannot be, are told in one line', async (t) => {
  const { store, folder } = await openTemporary(t);
  const draft = await store.begin('d');
  await draft.write(0, bytesFrom(0, 50));
  const file = await draft.finish();
  await truncate(join(folder, 'd'), 20);
  await assert.rejects(file.readInto(10, new Uint8Array(20)), {
    code: 'bad-file',
    message: /ends at byte 20/,
  });
  await file.close();
  const path = join(folder, 'file');
  await writeFile(path, '');
  const wrong = await openStore({ folder: join(path, 'inside') });
  await assert.rejects(wrong.begin('e'), { code: 'not-found' });
  assert.equal(await wrong.open('e'), undefined);
  await assert.rejects(openStore({ folder: '' }), { code: 'bad-argument' });
});

test('a file that may not be written is still read', async (t) => {
  const { store, folder } = await openTemporary(t);
  const draft = await store.begin('f');
  await draft.write(0, bytesFrom(0, 5));
  await (await draft.finish()).close();
  await chmod(join(folder, 'f'), 0o444);
  const writable = await open(join(folder, 'f'), 'r+').then(
    (handle) => handle.close().then(() => true),
    () => false,
  );
  if (writable) return t.skip('this user may write what nobody may');
  const file = await store.open('f');
  await file?.readInto(0, new Uint8Array(5));
  await assert.rejects(file?.replace(0, new Uint8Array(1)) ?? Promise.resolve(), { code: 'io' });
  await file?.close();
});
