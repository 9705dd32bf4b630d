import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { lstat, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { temporaryFolder } from '../../test/fixture/temporary-folder.ts';
import { expectWritable, writeWholeFile } from './whole-file.ts';

test('a file behind a link is replaced, the link is not', async () => {
  await using folder = await temporaryFolder();
  const [target, link] = [folder.path('target'), folder.path('link')];
  await writeFile(target, 'old');
  await symlink(target, link);
  await writeWholeFile(link, 'new');
  assert.equal(await readFile(target, 'utf8'), 'new');
  assert.ok((await lstat(link)).isSymbolicLink());
  assert.deepEqual(await readdir(folder.path('')), ['link', 'target']);
});

const isWindows = process.platform === 'win32';

test('a pipe is written to, not replaced', {
  skip: isWindows && 'no pipes with names',
  timeout: 20_000,
}, async () => {
  await using folder = await temporaryFolder();
  const pipe = folder.path('pipe');
  execFileSync('mkfifo', [pipe]);
  await expectWritable(pipe);
  const [content] = await Promise.all([readFile(pipe, 'utf8'), writeWholeFile(pipe, 'through')]);
  assert.equal(content, 'through');
  assert.ok((await lstat(pipe)).isFIFO());
});

test('a folder is refused before something long begins', async () => {
  await using folder = await temporaryFolder();
  await assert.rejects(expectWritable(folder.path('')), { code: 'io', message: /it is a folder/ });
  await assert.rejects(expectWritable(folder.path('none/x')), { code: 'not-found' });
});
