import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { test } from 'node:test';
import { temporaryFolder } from '../../test/fixture/temporary-folder.ts';
import { openServer } from './server.ts';

/** `fetch` would tidy the path before it is sent. */
function statusOf(url: string, path: string): Promise<number | undefined> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    get({ hostname, port, path }, (response) => {
      response.resume();
      resolve(response.statusCode);
    }).on('error', reject);
  });
}

test('files of the folder are served, whole and in part, with the headers of isolation, and no others', async () => {
  await using folder = await temporaryFolder();
  await mkdir(folder.path('page'));
  await writeFile(folder.path('page/index.html'), '<p>page');
  await writeFile(folder.path('page/a.gguf'), 'abcdefgh');
  await writeFile(folder.path('secret'), 'secret');
  const server = await openServer(folder.path('page'), 0);
  try {
    const page = await fetch(`${server.url}/`);
    assert.equal(await page.text(), '<p>page');
    assert.equal(page.headers.get('cross-origin-opener-policy'), 'same-origin');
    assert.equal(page.headers.get('cross-origin-embedder-policy'), 'require-corp');
    const part = await fetch(`${server.url}/a.gguf`, { headers: { range: 'bytes=2-4' } });
    assert.deepEqual(
      [part.status, part.headers.get('content-range'), await part.text()],
      [206, 'bytes 2-4/8', 'cde'],
    );
    const tag = part.headers.get('etag') ?? '';
    const again = await fetch(`${server.url}/a.gguf`, { headers: { 'if-none-match': tag } });
    assert.equal(again.status, 304);
    const beyond = await fetch(`${server.url}/a.gguf`, { headers: { range: 'bytes=9-' } });
    assert.equal(beyond.status, 416);
    assert.equal((await fetch(server.url, { method: 'POST' })).status, 405);
    for (const path of ['/../secret', '/%2e%2e/secret', '/..%2fsecret', '/%00', '/%', '/none']) {
      assert.equal(await statusOf(server.url, path), 404, path);
    }
    const taken = Number(new URL(server.url).port);
    await assert.rejects(openServer(folder.path('page'), taken), { code: 'EADDRINUSE' });
  } finally {
    await server.close();
  }
});
