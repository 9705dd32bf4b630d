/** The chat page in Firefox, where one is installed: loading, writing, keeping, and opening again without the server. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openServer } from '../../apps/web/server.ts';
import { Engine } from '../../src/index.ts';
import { openFirefox } from './firefox.ts';
import { modelPath } from './page.ts';

const built = fileURLToPath(new URL('../../dist/web/', import.meta.url));
const beginning = 'Once upon a time';
const enter = '\uE007';

test('the chat page in Firefox', { timeout: 240_000 }, async (t) => {
  if (!existsSync(`${built}index.html`)) return t.skip('dist/web is not built: npm run build');
  const page = await openFirefox();
  if ('skip' in page) return t.skip(page.skip);
  t.diagnostic(page.version);
  const server = await openServer(built, 0);
  let isServing = true;
  try {
    const click = (selector: string) => page.evaluate(`document.querySelector('${selector}').click()`);
    const isThere = (selector: string) => page.until(`document.querySelector('${selector}') !== null`);
    // Workers that Firefox does not start are begun anew (`patience.ts`), after some seconds each.
    const isSoon = async (selector: string): Promise<void> => {
      for (let tries = 0; tries < 400; tries++) {
        if (await page.evaluate(`document.querySelector('${selector}') !== null`)) return;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      assert.fail(`${selector} is not there`);
    };
    const loads = async (choice: string): Promise<void> => {
      await page.goto(server.url);
      await isThere('#models-view:not([hidden])');
      await isThere(choice);
      await click(choice);
      await isSoon('.verdict.good');
      await click('#load');
      await isSoon('#chat-view:not([hidden])');
    };
    const settings = { temperature: 0, maxTokens: 24 };
    await page.goto(server.url);
    await page.evaluate(`localStorage.setItem('nearfield-settings', '${JSON.stringify(settings)}')`);
    await page.goto(server.url);
    assert.equal(await page.evaluate('crossOriginIsolated'), true);
    await page.until("document.getElementById('offline-state').textContent === 'Works offline.'");
    await loads('#choose-included');
    assert.equal(await page.evaluate('document.activeElement.id'), 'prompt');
    await page.press(`${beginning}${enter}`);
    await isThere('#regenerate');
    await using engine = await Engine.load(modelPath, { threads: 1 });
    await using session = await engine.session();
    const { text } = await session.generate(beginning, { maxTokens: 24 }).result();
    const texts = "[...document.querySelectorAll('.turn-text')].map((turn) => turn.textContent)";
    assert.deepEqual(await page.evaluate(texts), [beginning, text]);

    await page.until("document.getElementById('offline-state').textContent === 'Works offline.'");
    await server.close();
    isServing = false;
    await loads('#kept-models li button');
    await click('#conversations .conversation');
    await isThere('#regenerate');
    assert.deepEqual(await page.evaluate(texts), [beginning, text]);
    await click('#regenerate');
    await page.until("document.querySelector('.growing') === null");
    assert.deepEqual(await page.evaluate(texts), [beginning, text]);
  } finally {
    await page.close();
    if (isServing) await server.close();
  }
});
