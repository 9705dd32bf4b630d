import assert from 'node:assert/strict';
import { lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileSink, memorySink, writeGguf } from '../checkpoint.ts';
import { formatByName } from '../format.ts';

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'nearfield-sink-'));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

test('a file appears under its name only when it is finished, and replaces what was there', async (t) => {
  const path = await folder(t);
  const target = join(path, 'model.gguf');
  await writeFile(target, 'old');
  const sink = await fileSink(target);
  await sink.write(Uint8Array.of(1, 2));
  await sink.write(new Uint8Array(0));
  assert.equal(await readFile(target, 'utf8'), 'old');
  await sink.write(Uint8Array.of(3));
  await sink.finish();
  await sink.discard();
  assert.deepEqual([...(await readFile(target))], [1, 2, 3]);
  assert.deepEqual(await readdir(path), ['model.gguf']);
  await assert.rejects(sink.write(Uint8Array.of(4)), { code: 'internal' });
});

test('a failed write leaves neither the file nor its beginnings', async (t) => {
  const path = await folder(t);
  const sink = await fileSink(join(path, 'model.gguf'));
  const data = () => Promise.reject(new Error('the source broke'));
  const tensors = [{ name: 't', format: formatByName('f32'), shape: [4], data }];
  await assert.rejects(writeGguf(sink, { metadata: {}, tensors }), { message: 'the source broke' });
  assert.deepEqual(await readdir(path), []);
});

test('a name that cannot be written is refused in one line', async (t) => {
  const path = await folder(t);
  await mkdir(join(path, 'taken'));
  await assert.rejects(fileSink(join(path, 'taken')), { code: 'bad-argument', message: /is a folder/ });
  await assert.rejects(fileSink(join(path, 'absent', 'x')), { code: 'not-found' });
  const late = await fileSink(join(path, 'late'));
  await mkdir(join(path, 'late'));
  await assert.rejects(late.finish(), { code: 'io' });
  assert.deepEqual(await readdir(path), ['late', 'taken']);
});

test('memory keeps a copy of what is written', async () => {
  const sink = memorySink();
  const bytes = Buffer.from([1, 2]);
  await sink.write(bytes);
  bytes.fill(9);
  await sink.write(bytes);
  await sink.finish();
  assert.deepEqual([...sink.bytes()], [1, 2, 9, 9]);
});

test('what is no file is not replaced by one, and a link goes on to lead to the file', async (t) => {
  const path = await folder(t);
  const socket = join(path, 'socket');
  const server = createServer().listen(socket);
  await new Promise((resolve) => server.once('listening', resolve));
  t.after(() => server.close());
  await assert.rejects(fileSink(socket), { code: 'bad-argument', message: /a device or a pipe/ });
  assert.ok((await lstat(socket)).isSocket());

  const [target, link] = [join(path, 'target'), join(path, 'link')];
  await writeFile(target, 'old');
  await symlink(target, link);
  const sink = await fileSink(link);
  await sink.write(Uint8Array.of(1, 2));
  await sink.finish();
  assert.deepEqual([...(await readFile(target))], [1, 2]);
  assert.ok((await lstat(link)).isSymbolicLink());
});
