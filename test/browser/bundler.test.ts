/** The built package under Vite, webpack and a plain script tag, with and without isolation and overridden paths. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Engine } from '../../src/index.ts';
import { type OpenBrowser, openBrowser } from './chromium.ts';
import { modelAddress, modelPath, modelsFolder, prompt } from './page.ts';
import { isBuilt, makeProject, projectNames } from './project.ts';
import { openSite } from './site.ts';

const built = fileURLToPath(new URL('../../dist/', import.meta.url));
const maxTokens = 12;
const overrides = {
  engineWorker: '/moved/engine-worker.js',
  computeWorker: '/moved/compute-worker.js',
  kernels: '/moved/',
};

interface Smoke {
  isolated: boolean;
  threads: number;
  architecture: string;
  tokens: number[];
  text: string;
  finish: string;
}

describe('the built package in a browser', () => {
  let browser: OpenBrowser | { skip: string };
  let expected: readonly number[] = [];
  before(async () => {
    browser = isBuilt() ? await openBrowser() : { skip: 'dist/index.js is not built: npm run build' };
    if ('skip' in browser) return;
    await using engine = await Engine.load(modelPath, { threads: 1 });
    await using session = await engine.session();
    expected = (await session.generate(prompt, { maxTokens }).result()).tokens;
  });
  after(async () => {
    if (!('skip' in browser)) await browser.close();
  });

  for (const name of projectNames) {
    test(name, { timeout: 240_000 }, async (t) => {
      if ('skip' in browser) return t.skip(browser.skip);
      const project = await makeProject(name);
      try {
        for (const [isolated, assets] of [
          [true, undefined],
          [false, undefined],
          [true, overrides],
          [false, overrides],
        ] as const) {
          const folders = { '/': project.folder, '/models/': modelsFolder, '/moved/': built };
          await using site = await openSite({ folders, isolated });
          const page = await browser.context.newPage();
          const problems: string[] = [];
          page.on('pageerror', (error) => problems.push(String(error)));
          page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
          await page.goto(`${site.url}${project.pagePath}`, { waitUntil: 'load' });
          const result = await page.evaluate(
            (settings) => (globalThis as unknown as { smoke(given: object): Promise<Smoke> }).smoke(settings),
            { model: modelAddress, prompt, maxTokens, assets },
          );
          await page.close();
          assert.deepEqual(problems, []);
          assert.deepEqual(result.tokens, expected);
          assert.equal(result.isolated, isolated);
          assert.equal(result.threads > 1, isolated && (await processors(browser)) > 1);
          const moved = site.requests.filter((line) => line.startsWith('GET /moved/'));
          const fetched = site.requests.filter((line) => /-worker|nearfield-|\.wasm/.test(line));
          if (assets) assert.deepEqual(fetched.sort(), moved.sort());
          else assert.deepEqual(moved, []);
          assert.ok(fetched.length >= (isolated ? 3 : 2), fetched.join());
        }
      } finally {
        project.remove();
      }
    });
  }
});

async function processors(browser: OpenBrowser): Promise<number> {
  const page = await browser.context.newPage();
  const count = await page.evaluate(() => navigator.hardwareConcurrency);
  await page.close();
  return count;
}
