/** The harness itself: what the browser of the tests can do, with and without cross-origin isolation. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type OpenBrowser, openBrowser } from './chromium.ts';
import { openSite } from './site.ts';

describe('browser harness', () => {
  let browser: OpenBrowser | { skip: string };
  const folder = mkdtempSync(join(tmpdir(), 'nearfield-site-'));
  before(async () => {
    writeFileSync(join(folder, 'index.html'), '<!doctype html><meta charset="utf-8"><title>site</title>');
    writeFileSync(
      join(folder, 'bytes.bin'),
      Uint8Array.from({ length: 100 }, (_, index) => index),
    );
    writeFileSync(
      join(folder, 'worker.js'),
      'postMessage({ shared: typeof SharedArrayBuffer, gpu: "gpu" in navigator, ml: "ml" in navigator });',
    );
    browser = await openBrowser();
  });
  after(async () => {
    if (!('skip' in browser)) await browser.close();
    rmSync(folder, { recursive: true });
  });

  for (const isolated of [true, false]) {
    test(`a page and its worker ${isolated ? 'with' : 'without'} isolation`, async (t) => {
      if ('skip' in browser) return t.skip(browser.skip);
      await using site = await openSite({ folders: { '/': folder }, isolated });
      const page = await browser.context.newPage();
      await page.goto(`${site.url}/`);
      const seen = await page.evaluate(async () => {
        const worker = new Worker('/worker.js', { type: 'module' });
        const inWorker = await new Promise((resolve) => {
          worker.onmessage = (event) => resolve(event.data);
        });
        return { isolated: crossOriginIsolated, inWorker };
      });
      await page.close();
      const shared = isolated ? 'function' : 'undefined';
      assert.deepEqual(seen, { isolated, inWorker: { shared, gpu: true, ml: true } });
    });
  }

  test('the site serves ranges, and nothing outside its folders', async () => {
    await using site = await openSite({ folders: { '/data/': folder } });
    const part = await fetch(`${site.url}/data/bytes.bin`, { headers: { range: 'bytes=10-12' } });
    assert.equal(part.status, 206);
    assert.equal(part.headers.get('content-range'), 'bytes 10-12/100');
    assert.deepEqual([...new Uint8Array(await part.arrayBuffer())], [10, 11, 12]);
    const beyond = await fetch(`${site.url}/data/bytes.bin`, { headers: { range: 'bytes=100-' } });
    assert.equal(beyond.status, 416);
    for (const path of ['/', '/data/none', '/data/..%2f..%2fetc%2fpasswd']) {
      assert.equal((await fetch(`${site.url}${path}`)).status, 404, path);
    }
  });
});
