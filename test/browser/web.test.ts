/** The chat page of apps/web in Chromium: what a user does with it, by mouse, by keyboard, on a phone, offline. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { openServer, type PageServer } from '../../apps/web/server.ts';
import { copyOfMetadata, memorySink, openCheckpoint, writeGguf } from '../../src/checkpoint.ts';
import { Engine } from '../../src/index.ts';
import { faintTexts, namelessControls, rolesOf } from './accessibility.ts';
import { type OpenBrowser, openBrowser } from './chromium.ts';
import { modelPath } from './page.ts';
import { openSlowSite } from './slow-site.ts';

const built = fileURLToPath(new URL('../../dist/web/', import.meta.url));
const beginning = 'Once upon a time there was an old king who';

describe('the chat page', { timeout: 120_000 }, () => {
  let browser: OpenBrowser | { skip: string } = { skip: 'not opened' };
  let server: PageServer | undefined;
  let page: Page | undefined;
  let port = 0;
  const problems: string[] = [];

  before(async () => {
    browser = existsSync(`${built}index.html`)
      ? await openBrowser()
      : { skip: 'dist/web is not built: npm run build' };
    if ('skip' in browser) return;
    server = await openServer(built, 0);
    port = Number(new URL(server.url).port);
    page = await browser.context.newPage();
    page.setDefaultTimeout(30_000);
    page.on('pageerror', (error) => problems.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error') problems.push(message.text());
    });
    await page.goto(server.url);
    await page.waitForSelector('#models-view:not([hidden])');
  });
  after(async () => {
    await server?.close();
    if (!('skip' in browser)) await browser.close();
  });

  /** The tests are one visit: each goes on where the one before has ended. */
  const visit = (name: string, work: (page: Page, url: string) => Promise<void>) =>
    test(name, async (t) => {
      if ('skip' in browser) return t.skip(browser.skip);
      if (page) await work(page, `http://127.0.0.1:${port}`);
      assert.deepEqual(problems.splice(0), []);
    });

  const expectReadable = async (page: Page, state: string) => {
    assert.deepEqual(await namelessControls(page), [], state);
    for (const colorScheme of ['dark', 'light'] as const) {
      await page.emulateMedia({ colorScheme });
      assert.deepEqual(await faintTexts(page), [], `${state}, ${colorScheme}`);
    }
  };

  /** Presses Tab until the element has the focus: whoever has no mouse must come by. */
  const tabTo = async (page: Page, selector: string) => {
    for (let presses = 0; presses < 40; presses++) {
      if (await page.evaluate((wanted) => document.activeElement?.matches(wanted), selector)) return;
      await page.keyboard.press('Tab');
    }
    assert.fail(`Tab does not come by ${selector}`);
  };

  const loadKept = async (page: Page, backend: string) => {
    await page.click('#open-models');
    await page.locator('#kept-models').getByRole('button', { name: 'Load fable-4m' }).click();
    await page.locator('summary').click();
    await page.selectOption('#backend', backend);
    await page.click('#load');
    await page.waitForSelector('#chat-view:not([hidden])');
  };

  /** Of the last element that fits. */
  const textOf = async (page: Page, selector: string): Promise<string> =>
    ((await page.locator(selector).last().textContent()) ?? '').trim();

  visit('a model is chosen, judged and loaded, and a text written, by keyboard alone', async (page) => {
    assert.equal(await page.evaluate(() => crossOriginIsolated), true);
    const roles = await rolesOf(page);
    for (const role of ['navigation Conversations', 'textbox From an address', 'button Settings']) {
      assert.ok(roles.includes(role), `${role} among ${roles.join(', ')}`);
    }
    await expectReadable(page, 'empty');
    await tabTo(page, '#choose-included');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.verdict:is(.good, .doubtful, .bad)');
    const verdict = await textOf(page, '.verdict');
    assert.match(
      verdict,
      /^Fits: it takes [\d.]+ MB of memory.* It writes (about|more than) [\d,.]+ tokens\/s here/,
    );
    assert.match(await textOf(page, '#panel .facts'), /^llama · 4\.2 M parameters · Q8_0 · 4\.6 MB/);
    assert.equal(await page.evaluate(() => document.activeElement?.id), 'load', 'the focus is on Load');
    await page.locator('summary').click();
    const backends = await page.locator('#backend option').allInnerTexts();
    assert.deepEqual(backends.slice(0, 1), ['Automatic']);
    assert.ok(backends.includes('wasm') && backends.includes('reference'));
    await expectReadable(page, 'looked at');
    await tabTo(page, '#load');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#chat-view:not([hidden])');
    assert.equal(await page.evaluate(() => document.activeElement?.id), 'prompt');
    assert.match(await textOf(page, '#figures'), /^[\d.]+ MB of memory$/);

    await tabTo(page, '#open-settings');
    await page.keyboard.press('Enter');
    await expectReadable(page, 'settings');
    await tabTo(page, '#temperature');
    await page.keyboard.type('0');
    await tabTo(page, '#max-tokens');
    await page.keyboard.press('Control+A');
    await page.keyboard.type('24');
    await page.keyboard.press('Escape');
    await tabTo(page, '#prompt');
    await page.keyboard.type(beginning);
    await page.keyboard.press('Enter');
    await page.waitForSelector('#regenerate');
    await using engine = await Engine.load(modelPath, { threads: 1 });
    await using session = await engine.session();
    const { text } = await session.generate(beginning, { maxTokens: 24 }).result();
    const turns = page.locator('.turn-text');
    assert.deepEqual(await turns.allTextContents(), [beginning, text]);
    assert.match(await textOf(page, '.turn-foot .remark'), /^24 tokens · [\d.]+ tokens\/s · reached/);
    assert.equal(await textOf(page, '#status'), text.trim(), 'screen readers are told');
    assert.match(await textOf(page, '#figures'), /^[\d.]+ tokens\/s · [\d.]+ MB of memory$/);
    await expectReadable(page, 'answered');

    await tabTo(page, '#regenerate');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.activeElement?.id === 'prompt');
    await page.waitForSelector('#regenerate');
    assert.deepEqual(await turns.allTextContents(), [beginning, text]);
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.querySelectorAll('.turn').length === 3);
    await page.waitForSelector('#regenerate');
    const whole = await session.generate(beginning + text, { maxTokens: 24 }).result();
    assert.equal((await turns.allTextContents()).at(-1), whole.text, 'an empty line goes on with the text');
  });

  visit('an answer is drawn at most once a frame', async (page) => {
    await page.evaluate(() => {
      const counts = { frames: 0, drawn: 0 };
      Object.assign(globalThis, { counts });
      const frame = () => {
        counts.frames++;
        requestAnimationFrame(frame);
      };
      frame();
      const observer = new MutationObserver((changes) => {
        counts.drawn += changes.filter(({ type }) => type === 'characterData').length;
      });
      observer.observe(document.getElementById('turns') ?? document, { characterData: true, subtree: true });
    });
    await page.click('#new-conversation');
    await page.fill('#prompt', 'There was once a tailor');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#regenerate');
    const { frames, drawn } = await page.evaluate(
      () => (globalThis as unknown as { counts: { frames: number; drawn: number } }).counts,
    );
    assert.ok(drawn <= frames, `${drawn} times in ${frames} frames`);
  });

  visit(
    'without the server the page opens again, with conversations and the kept model',
    async (page, url) => {
      await page.waitForFunction(
        () => document.getElementById('offline-state')?.textContent === 'Works offline.',
      );
      await server?.close();
      await page.reload();
      await page.waitForSelector('#kept-models li');
      assert.match(await textOf(page, '#kept-models li'), /fable-4m[\s\S]*4\.6 MB/);
      assert.match(await textOf(page, '#usage'), /^4\.6 MB kept, room for/);
      const titles = await page.locator('#conversations .conversation').allInnerTexts();
      assert.deepEqual(titles, ['There was once a tailor', beginning]);
      await page.locator('#kept-models').getByRole('button', { name: 'Load fable-4m' }).click();
      await page.click('#load');
      await page.waitForSelector('#chat-view:not([hidden])');
      assert.equal(await page.evaluate(() => crossOriginIsolated), true);
      await page.click(`text=${beginning}`);
      await page.waitForFunction(() => document.querySelectorAll('.turn').length === 3);
      await page.click('#regenerate');
      await page.waitForSelector('#stop', { state: 'hidden' });
      await page.waitForSelector('#regenerate');
      assert.ok((await textOf(page, '.turn.assistant')).length > 20);
      // The browser tells on its console that the server is gone; so it is.
      problems.length = 0;
      server = await openServer(built, port);
      assert.equal((await fetch(url)).status, 200);
    },
  );

  visit('a slow answer is stopped; its text stays, and the next message is answered', async (page) => {
    await page.click('#open-settings');
    await page.fill('#max-tokens', '20000');
    await page.click('#settings-form button[type=submit]');
    await loadKept(page, 'reference');
    await page.click('#new-conversation');
    await page.fill('#prompt', 'There was once a miller');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => (document.querySelector('.growing')?.textContent ?? '').length > 8);
    await page.keyboard.press('Escape');
    await page.waitForSelector('#regenerate');
    assert.match(await textOf(page, '.turn-foot .remark'), /^\d{1,3} tokens · .*stopped$/);
    const [, stopped = ''] = await page.locator('.turn-text').allTextContents();
    assert.ok(stopped.trim().length > 8, stopped);
    await page.click('#open-settings');
    await page.fill('#max-tokens', '3');
    await page.click('#settings-form button[type=submit]');
    await page.fill('#prompt', 'and his son');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.querySelectorAll('.turn').length === 4);
    await page.waitForSelector('#regenerate');
    const texts = await page.locator('.turn-text').allTextContents();
    assert.equal(texts[1], stopped, 'what was written stays');
    assert.match(await textOf(page, '.turn-foot .remark'), /^3 tokens/);
    await loadKept(page, 'auto');
    await page.click('#open-settings');
    await page.fill('#max-tokens', '24');
    await page.click('#settings-form button[type=submit]');
    await page.getByRole('button', { name: 'Delete “There was once a miller”' }).click();
    await page.click('#question-yes');
  });

  visit('a kept model and a conversation are deleted', async (page) => {
    await page.click('#open-models');
    await page.getByRole('button', { name: 'Delete fable-4m' }).click();
    await expectReadable(page, 'asked');
    await page.click('#question button[value=no]');
    assert.equal(await page.locator('#kept-models li').count(), 1);
    await page.getByRole('button', { name: 'Delete fable-4m' }).click();
    await page.click('#question-yes');
    await page.waitForFunction(() => document.querySelector('#kept-models li') === null);
    const left = await page.evaluate(async () => {
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('nearfield');
      const names: string[] = [];
      for await (const name of folder.keys()) names.push(name);
      return names;
    });
    assert.deepEqual(left, []);
    await page.getByRole('button', { name: 'Delete “There was once a tailor”' }).click();
    await page.click('#question-yes');
    await page.waitForFunction(() => document.querySelectorAll('#conversations li').length === 1);
  });

  visit('a download tells bytes and time, is cancelled, and goes on where it was', async (page) => {
    const slow = await openSlowSite(readFileSync(modelPath), 120);
    try {
      await page.fill('#address', `${slow.url}/tales.gguf`);
      await page.keyboard.press('Enter');
      await page.click('#load');
      const words = /^Downloading · [\d.]+ MB of 4\.6 MB · [\d.]+ [kM]B\/s · (about|a few)/;
      await page.waitForFunction(
        (pattern) => new RegExp(pattern).test(document.querySelector('#panel .facts')?.textContent ?? ''),
        words.source,
      );
      await expectReadable(page, 'loading');
      await page.keyboard.press('Enter');
      await page.waitForSelector('#chooser:not([hidden])');
      assert.equal(await page.locator('#error').isVisible(), false);
      await page.waitForSelector('#kept-models li');
      assert.match(await textOf(page, '#kept-models li'), /of 4\.6 MB/);
      slow.hurry();
      await page.getByRole('button', { name: 'Go on with fable-4m' }).click();
      await page.click('#load');
      await page.waitForSelector('#chat-view:not([hidden])');
    } finally {
      await slow.close();
    }
  });

  visit('a picked file with a chat template holds a conversation, in Markdown', async (page) => {
    const file = await chatModel();
    await page.click('#model-button');
    await page.setInputFiles('#file', { name: 'chat.gguf', mimeType: '', buffer: file });
    await page.locator('#keep').uncheck();
    await page.click('#load');
    await page.waitForSelector('#chat-view:not([hidden])');
    await page.click('#new-conversation');
    await page.click('#open-settings');
    await page.fill('#system', 'You tell tales.');
    await page.fill('#max-tokens', '8');
    await page.click('#settings-form button[type=submit]');
    await page.fill('#prompt', 'Hello');
    await page.click('#send');
    await page.waitForSelector('#regenerate');
    await using engine = await Engine.load(new Uint8Array(file), { threads: 1 });
    await using session = await engine.session();
    const prompt = 'You tell tales. Hello ';
    const { text } = await session.generate(prompt, { maxTokens: 8 }).result();
    assert.equal(flat(await textOf(page, '.turn.assistant .turn-text')), flat(text));
    assert.equal(await page.locator('#kept-models li').count(), 1, 'it was not kept');

    const markdown =
      '# Two **ways**\n\n1. one\n2. two `x < y`\n\n```js\nconst a = "<b>";\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n' +
      '<img src="/spy"> ![](/spy) [bad](javascript:alert(1)) [good](https://example.org/)';
    await page.evaluate(async (text) => {
      const opening = indexedDB.open('nearfield');
      await new Promise((resolve) => {
        opening.onsuccess = resolve;
      });
      const turns = [
        { role: 'user', text: 'How?' },
        { role: 'assistant', text },
      ];
      const table = opening.result.transaction('conversations', 'readwrite').objectStore('conversations');
      table.put({ id: 'markdown', kind: 'chat', changedMs: Date.now() + 1e6, turns });
    }, markdown);
    await page.reload();
    await page.click('text=How?');
    const answer = page.locator('.turn.assistant .turn-text');
    assert.deepEqual(await answer.locator('li, h3 strong, pre code, td').allInnerTexts(), [
      'ways',
      'one',
      'two x < y',
      'const a = "<b>";',
      '1',
      '2',
    ]);
    assert.equal(await answer.locator('img').count(), 0);
    assert.deepEqual(
      await answer.locator('a').evaluateAll((links) => links.map((link) => link.getAttribute('href'))),
      ['https://example.org/'],
    );
    await expectReadable(page, 'markdown');
  });

  visit('what goes wrong is one line with its remedy, and nothing is lost', async (page, url) => {
    await page.fill('#prompt', 'To nobody');
    await page.keyboard.press('Enter');
    assert.match(await textOf(page, '#error-text'), /^No model is loaded; choose one under Models/);
    assert.equal(await page.inputValue('#prompt'), 'To nobody');
    await expectReadable(page, 'error');
    await page.click('#close-error');
    await page.click('#open-models');
    for (const [address, line] of [
      [`${url}/none.gguf`, /^No file at .*none\.gguf \(HTTP 404\); check the address$/],
      [`${url}/icon.svg`, /icon\.svg .*; expected gguf or safetensors$/],
      ['https://', /is not a valid address/],
    ] as const) {
      await page.fill('#address', address);
      await page.keyboard.press('Enter');
      await page.waitForFunction(
        (text) => new RegExp(text).test(document.getElementById('error-text')?.textContent ?? ''),
        line.source,
      );
      await page.waitForSelector('#chooser:not([hidden])');
    }
    problems.length = 0;
  });

  visit(
    'where the browser refuses the page its storage it says so, and all else works',
    async (page, url) => {
      const guest = await page.context().newPage();
      guest.setDefaultTimeout(30_000);
      guest.on('pageerror', (error) => problems.push(String(error)));
      await guest.addInitScript(() => {
        const refuse = (): never => {
          throw new DOMException('refused', 'SecurityError');
        };
        Object.defineProperty(window, 'localStorage', { get: refuse });
        Object.defineProperty(IDBFactory.prototype, 'open', { value: refuse });
        Object.defineProperty(StorageManager.prototype, 'getDirectory', { value: async () => refuse() });
      });
      await guest.goto(url);
      await guest.click('#choose-included');
      await guest.waitForSelector('#load');
      assert.match(await textOf(guest, '#error-text'), /^This browser keeps no conversations/);
      assert.match(await textOf(guest, '#no-conversations'), /ends with this page/);
      assert.match(await textOf(guest, 'label:has(#keep)'), /^It cannot be kept: the browser refuses/);
      await guest.click('#load');
      await guest.waitForSelector('#chat-view:not([hidden])');
      await guest.click('#open-settings');
      await guest.fill('#max-tokens', '8');
      await guest.click('#settings-form button[type=submit]');
      await guest.fill('#prompt', beginning);
      await guest.click('#send');
      await guest.waitForSelector('#regenerate');
      assert.match(await textOf(guest, '.turn-foot .remark'), /^8 tokens · /);
      await guest.close();
    },
  );

  visit('a phone has room for all of it', async (page) => {
    await page.click('#close-error');
    await page.setViewportSize({ width: 320, height: 640 });
    const overflow = () =>
      page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(await overflow(), 0);
    assert.equal(await page.locator('#sidebar').isVisible(), false);
    await tabTo(page, '#open-sidebar');
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate(() => document.activeElement?.id), 'close-sidebar');
    await page.keyboard.press('Escape');
    assert.equal(await page.evaluate(() => document.activeElement?.id), 'open-sidebar');
    await page.keyboard.press('Enter');
    await page.click('text=How?');
    await page.waitForSelector('#sidebar', { state: 'hidden' });
    assert.equal(await overflow(), 0);
    const { width, height } = (await page.locator('#send').boundingBox()) ?? { width: 0, height: 0 };
    assert.ok(width >= 44 && height >= 44, 'the button is wide enough for a thumb');
    await page.click('#open-sidebar');
    await page.click('#open-settings');
    assert.equal(await overflow(), 0);
    await page.keyboard.press('Escape');
  });
});

const flat = (text: string): string => text.replaceAll(/\s+/g, ' ').trim();

/** The repository's model with a template that says all messages one after the other. */
async function chatModel(): Promise<Buffer> {
  const checkpoint = await openCheckpoint(modelPath);
  const metadata = copyOfMetadata(checkpoint.metadata);
  metadata.set('tokenizer.chat_template', '{% for m in messages %}{{ m.content }} {% endfor %}');
  const sink = memorySink();
  const tensors = await Promise.all(
    [...checkpoint.tensors.values()].map(async (entry) => {
      const data = new Uint8Array(entry.byteLength);
      await checkpoint.read(entry, 0, data);
      return { name: entry.name, format: entry.format, shape: entry.shape, data };
    }),
  );
  await writeGguf(sink, { metadata, tensors });
  await checkpoint.close();
  return Buffer.from(sink.bytes());
}
