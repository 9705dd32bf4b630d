import assert from 'node:assert/strict';
import { mkdtemp, open, rm, truncate, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { checksum } from '../base/checksum.ts';
import { openStore, ReadingThread, type StoredFile } from '../store.ts';

const length = 100_000;
const content = Uint8Array.from({ length }, (_, index) => index ^ (index >> 8));

async function openFile(t: TestContext): Promise<{ file: StoredFile; path: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'nearfield-thread-'));
  t.after(() => rm(folder, { recursive: true }));
  const store = await openStore({ folder });
  const draft = await store.begin('a');
  await draft.write(0, content);
  const file = await draft.finish();
  t.after(() => file.close());
  return { file, path: join(folder, 'a') };
}

function sumsOf(bytes: Uint8Array): number[] {
  const sums = new Uint32Array(2);
  checksum(bytes, sums, 0);
  return [...sums];
}

test('pieces are begun in order, summed, and timed', async (t) => {
  const { file } = await openFile(t);
  const thread = await ReadingThread.open(file, undefined);
  const target = new Uint8Array(new SharedArrayBuffer(length));
  const startedMs = performance.now();
  const pieces = await Promise.all(
    [60_000, 0, 20_000, 40_000, 80_000].map(async (offset) => {
      const read = await thread.read(offset, target.subarray(offset, offset + 20_000));
      assert.deepEqual([...read.sums], sumsOf(content.slice(offset, offset + 20_000)));
      return read;
    }),
  );
  assert.deepEqual(new Uint8Array(target), content);
  for (const [index, { startMs, endMs }] of pieces.entries()) {
    assert.ok(
      startMs >= (pieces[index - 1]?.startMs ?? startedMs - 1) &&
        endMs >= startMs &&
        endMs <= performance.now() + 1,
    );
  }
  await thread.close();
});

test('what is replaced is read from then on', async (t) => {
  const { file } = await openFile(t);
  const thread = await ReadingThread.open(file, undefined);
  const target = new Uint8Array(new SharedArrayBuffer(8));
  const replaced = thread.replace(3, Uint8Array.of(90, 91));
  await thread.read(0, target);
  await replaced;
  assert.deepEqual([...target], [0, 1, 2, 90, 91, 5, 6, 7]);
  await thread.close();
});

test('whole pages are read as what was written last, whatever else is under way', async (t) => {
  const { file } = await openFile(t);
  const thread = await ReadingThread.open(file, undefined);
  const page = 4096;
  const targets = Array.from({ length: 8 }, () => new Uint8Array(new SharedArrayBuffer(2 * page)));
  const reads = targets.slice(0, 4).map((target, index) => thread.read(index * page, target));
  const replaced = thread.replace(page + 5, Uint8Array.of(1, 2, 3));
  const later = targets.slice(4).map((target, index) => thread.read(index * page, target));
  await Promise.all([...reads, replaced, ...later]);
  const after = content.slice();
  after.set([1, 2, 3], page + 5);
  for (const [index, target] of targets.entries()) {
    const [expected, start] = [index < 4 ? content : after, (index % 4) * page];
    assert.deepEqual(new Uint8Array(target), expected.slice(start, start + 2 * page));
  }
  const rest = new Uint8Array(new SharedArrayBuffer(page));
  const lastPage = Math.floor(length / page) * page;
  await assert.rejects(thread.read(lastPage, rest), { code: 'bad-file', message: /has been cut/ });
  await thread.close();
});

test('a file that was cut, one that was closed and a thread that has ended are told apart', async (t) => {
  const { file, path } = await openFile(t);
  const thread = await ReadingThread.open(file, undefined);
  const target = new Uint8Array(new SharedArrayBuffer(1000));
  await truncate(path, 500);
  await assert.rejects(thread.read(0, target), {
    code: 'bad-file',
    message: /ends at byte 500; it has been cut/,
  });
  await thread.read(0, target.subarray(0, 400));
  await file.close();
  await assert.rejects(thread.read(0, target.subarray(0, 400)), { code: 'io', message: /EBADF/ });
  const waiting = assert.rejects(thread.read(0, target), { code: 'backend', message: /closed/ });
  await thread.close();
  await waiting;
  await assert.rejects(thread.read(0, target), { code: 'backend' });
});

test('a script that is not there is named', async (t) => {
  const { file } = await openFile(t);
  await assert.rejects(ReadingThread.open(file, 'file:///does/not/exist.js'), {
    code: 'backend',
    message: /exist\.js.*assets\.readerWorker/,
  });
});

test('a piece that was read before is checked anew when the file has changed', async (t) => {
  const { file, path } = await openFile(t);
  const past = new Date(Date.now() - 60_000);
  await utimes(path, past, past);
  // The time of the last change of any kind cannot be set: it has to pass.
  await new Promise((resolve) => setTimeout(resolve, 2100));
  const thread = await ReadingThread.open(file, undefined);
  const target = new Uint8Array(new SharedArrayBuffer(length));
  const sums = async () => [...(await thread.read(0, target)).sums];
  for (let round = 0; round < 2; round++) assert.deepEqual(await sums(), sumsOf(content));
  const other = content.slice();
  other[70_001] = 99;
  const handle = await open(path, 'r+');
  await handle.write(Uint8Array.of(99), 0, 1, 70_001);
  // As if it had been written when the file was.
  await handle.utimes(past, past);
  await handle.close();
  for (let round = 0; round < 2; round++) assert.deepEqual(await sums(), sumsOf(other));
  await thread.replace(70_001, content.subarray(70_001, 70_002));
  for (let round = 0; round < 2; round++) assert.deepEqual(await sums(), sumsOf(content));
  await thread.close();
});
