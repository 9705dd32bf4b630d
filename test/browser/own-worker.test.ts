/** The package in a module worker of the user's own: the engine runs right there. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Engine } from '../../src/index.ts';
import { type OpenBrowser, openBrowser } from './chromium.ts';
import { modelAddress, modelPath, openPlainSite, prompt } from './page.ts';
import { isBuilt } from './project.ts';

const maxTokens = 24;

interface Reply {
  readonly result?: { isolated: boolean; threads: number; tokens: readonly number[]; text: string };
  readonly error?: { name: string; code: string; message: string };
}

describe('in a module worker', { timeout: 120_000 }, () => {
  let browser: OpenBrowser | { skip: string };
  before(async () => {
    browser = isBuilt() ? await openBrowser() : { skip: 'dist/index.js is not built: npm run build' };
  });
  after(async () => {
    if (!('skip' in browser)) await browser.close();
  });

  const ask = (given: { model: string; prompt: string; maxTokens: number; withoutSimd: boolean }) => {
    const { withoutSimd, ...settings } = given;
    const worker = new Worker('/plain/own-worker.js', { type: 'module' });
    return new Promise<Reply>((resolve, reject) => {
      worker.addEventListener('message', ({ data }) => resolve(data));
      worker.addEventListener('error', ({ message }) => reject(new Error(message)));
      worker.postMessage({ withoutSimd, settings });
    }).finally(() => worker.terminate());
  };
  const given = { model: modelAddress, prompt, maxTokens };

  for (const isolated of [true, false]) {
    test(`the tokens of Node ${isolated ? 'with' : 'without'} isolation`, async (t) => {
      if ('skip' in browser) return t.skip(browser.skip);
      await using engine = await Engine.load(modelPath, { threads: 1 });
      await using session = await engine.session();
      const { tokens, text } = await session.generate(prompt, { maxTokens }).result();
      await using plain = await openPlainSite(browser, isolated);
      const { result, error } = await plain.evaluate(ask, { ...given, withoutSimd: false });
      assert.equal(error, undefined);
      assert.deepEqual({ tokens: result?.tokens, text: result?.text }, { tokens, text });
      assert.equal(result?.isolated, isolated);
      assert.equal(result?.threads === 1, !isolated);
    });
  }

  test('a host without vector instructions is told from one with', async (t) => {
    if ('skip' in browser) return t.skip(browser.skip);
    await using plain = await openPlainSite(browser, true);
    const { error } = await plain.evaluate(ask, { ...given, withoutSimd: true });
    assert.equal(error?.code, 'unsupported');
    assert.match(error?.message ?? '', /SIMD.*reference/);
  });
});
