/** A model that was kept is loaded again from the private file system alone; how long that takes is told, not asserted. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { openBrowser } from './chromium.ts';
import { modelPath, type Nearfield, openPlainSite, prompt } from './page.ts';
import { isBuilt } from './project.ts';
import { openSlowSite } from './slow-site.ts';

/** For 64 KiB: about what a fast line brings. */
const pieceMs = 6;

test('the second load fetches nothing of the model', { timeout: 120_000 }, async (t) => {
  if (!isBuilt()) return t.skip('dist/index.js is not built: npm run build');
  const browser = await openBrowser();
  if ('skip' in browser) return t.skip(browser.skip);
  const slow = await openSlowSite(readFileSync(modelPath), pieceMs);
  try {
    await using plain = await openPlainSite(browser, true);
    const visit = (isFirst: boolean) =>
      plain.evaluate(
        async ({ entry, address, prompt, isFirst }) => {
          const { Engine, keepModel, listKeptModels, openKeptModel } = (await import(entry)) as Nearfield;
          const beganMs = performance.now();
          const kept = isFirst ? await keepModel(address) : (await listKeptModels())[0];
          if (!kept) throw new Error('nothing is kept');
          const engine = await Engine.load(await openKeptModel(kept), { backend: 'wasm', threads: 2 });
          const session = await engine.session();
          const { tokens } = await session.generate(prompt, { maxTokens: 4 }).result();
          const elapsedMs = performance.now() - beganMs;
          await engine.close();
          return { tokens, elapsedMs };
        },
        { address: `${slow.url}/tales.gguf`, prompt, isFirst },
      );
    const first = await visit(true);
    const sentBytes = slow.sentBytes();
    assert.ok(sentBytes >= readFileSync(modelPath).byteLength);
    const second = await visit(false);
    assert.deepEqual(second.tokens, first.tokens);
    assert.equal(slow.sentBytes(), sentBytes);
    const ms = [first, second].map(({ elapsedMs }) => `${elapsedMs.toFixed(0)} ms`);
    t.diagnostic(`to the fourth token from the network ${ms[0]}, from the file system ${ms[1]}`);
  } finally {
    await slow.close();
    await browser.close();
  }
});
