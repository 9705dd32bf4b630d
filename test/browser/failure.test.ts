/** What goes wrong on a page is told by typed errors that name the thing: sources, scripts, kernels, workers. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type OpenBrowser, openBrowser } from './chromium.ts';
import { modelAddress, type Nearfield, openPlainSite, type PlainSite, prompt } from './page.ts';
import { isBuilt } from './project.ts';
import { openSite } from './site.ts';

const model = modelAddress;
const built = fileURLToPath(new URL('../../dist/', import.meta.url));

interface Failure {
  readonly name: string;
  readonly code: string;
  readonly message: string;
}

interface Attempt {
  readonly what: string;
  readonly model?: unknown;
  readonly assets?: Readonly<Record<string, string>>;
  readonly threads?: number;
  readonly isolatedOnly?: boolean;
  readonly code: string;
  readonly says: RegExp;
}

const attempts: readonly Attempt[] = [
  { what: 'a model that is not there', model: '/models/none.gguf', code: 'not-found', says: /none\.gguf/ },
  {
    what: 'a file that is no model',
    model: '/wrong/no-model.gguf',
    code: 'bad-file',
    says: /no-model\.gguf/,
  },
  { what: 'an address that is none', model: 'https://', code: 'bad-argument', says: /https:\/\// },
  { what: 'no model at all', model: [], code: 'bad-argument', says: /No model/ },
  { what: 'a wrong option', threads: -1, code: 'bad-argument', says: /threads/ },
  {
    what: 'an engine worker that is not there',
    assets: { engineWorker: '/none/engine-worker.js' },
    code: 'backend',
    says: /engine worker.*http.*\/none\/engine-worker\.js.*assets\.engineWorker/,
  },
  {
    what: 'a page in the place of the engine worker',
    assets: { engineWorker: '/plain/' },
    code: 'backend',
    says: /engine worker.*\/plain\/.*assets\.engineWorker/,
  },
  {
    what: 'a compute worker that is not there',
    assets: { computeWorker: 'none/compute-worker.js' },
    isolatedOnly: true,
    code: 'backend',
    says: /compute thread.*http.*\/plain\/none\/compute-worker\.js.*assets\.computeWorker/,
  },
  {
    what: 'kernels that are not there',
    assets: { kernels: '/none' },
    code: 'backend',
    says: /kernels.*http.*\/none\/kernels-.*404.*assets\.kernels/,
  },
  {
    what: 'an asset address that is none',
    assets: { kernels: 'http://' },
    code: 'bad-argument',
    says: /http:\/\/ is not a valid address/,
  },
];

for (const isolated of [true, false]) {
  describe(`failures ${isolated ? 'with' : 'without'} isolation`, { timeout: 240_000 }, () => {
    let browser: OpenBrowser | { skip: string } = { skip: 'not opened' };
    let plain: PlainSite | undefined;
    before(async () => {
      browser = isBuilt() ? await openBrowser() : { skip: 'dist/index.js is not built: npm run build' };
      if (!('skip' in browser)) plain = await openPlainSite(browser, isolated);
    });
    after(async () => {
      await plain?.[Symbol.asyncDispose]();
      if (!('skip' in browser)) await browser.close();
    });
    const onPage = (name: string, work: (site: PlainSite) => Promise<void>) =>
      test(name, async (t) => {
        if ('skip' in browser) return t.skip(browser.skip);
        if (plain) await work(plain);
      });

    for (const attempt of attempts.filter(({ isolatedOnly }) => isolated || !isolatedOnly)) {
      onPage(attempt.what, async ({ evaluate }) => {
        const { code, says } = attempt;
        const failure = await evaluate(load, { model: attempt.model ?? model, options: optionsOf(attempt) });
        assert.equal(failure?.code, code, failure?.message);
        assert.equal(failure?.name, 'NearfieldError');
        assert.match(failure?.message ?? '', says);
        assert.doesNotMatch(failure?.message ?? '', /\n/);
      });
    }

    onPage('a page that may not start workers', async ({ evaluate }) => {
      const failure = await evaluate(load, { model, options: {} }, '/plain/blocked.html');
      assert.equal(failure?.code, 'backend', failure?.message);
      assert.match(failure?.message ?? '', /engine worker did not start/);
    });

    onPage('an engine worker that crashes in the middle', async ({ evaluate }) => {
      const seen = await evaluate(
        async ({ entry, model, prompt }) => {
          const { Engine } = (await import(entry)) as Nearfield;
          const engine = await Engine.load(model, { assets: { engineWorker: 'crashing-worker.js' } });
          const session = await engine.session();
          const codeOf = ({ code, message }: Failure) => `${code}: ${message}`;
          const running = await session.generate(prompt).result().then(String, codeOf);
          const later = await engine.tokenize('text').then(String, codeOf);
          await engine.close();
          return { running, later };
        },
        { model, prompt },
      );
      assert.match(
        seen.running,
        /^backend: The engine worker failed .*made up by the test.*load the model again/,
      );
      assert.equal(seen.later, seen.running);
    });

    onPage('what cannot be sent to the worker', async ({ evaluate }) => {
      const seen = await evaluate(
        async ({ entry, model, prompt }) => {
          const { Engine } = (await import(entry)) as Nearfield;
          const codeOf = ({ name, code }: Failure) => `${name} ${code}`;
          const source = { name: 'own', byteLength: 0, readInto: async () => {}, close: async () => {} };
          const own = await Engine.load(source).then(String, codeOf);
          const engine = await Engine.load(model);
          const session = await engine.session();
          const stop = [(() => {}) as unknown as string];
          const options = await session.generate(prompt, { stop }).result().then(String, codeOf);
          const proxied = new Proxy([new Proxy({ role: 'user', content: 'A tale' }, {})], {});
          const messages = await session.generate(proxied as never, { maxTokens: 2 }).result();
          await engine.close();
          return { own, options, finish: messages.finish };
        },
        { model, prompt },
      );
      const expected = { own: 'NearfieldError unsupported', options: 'NearfieldError bad-argument' };
      assert.deepEqual(seen, { ...expected, finish: 'length' });
    });

    onPage('scripts and kernels of another origin work', async ({ evaluate }) => {
      await using elsewhere = await openSite({ folders: { '/library/': built }, isolated, shared: true });
      const library = `${elsewhere.url}/library/`;
      const failure = await evaluate(load, {
        model,
        options: { assets: { engineWorker: `${library}engine-worker.js` } },
      });
      assert.equal(failure, undefined);
      const fetched = elsewhere.requests.map((line) => line.split(' ')[1] ?? '');
      for (const name of isolated
        ? ['engine-worker', 'compute-worker', 'kernels']
        : ['engine-worker', 'kernels'])
        assert.ok(
          fetched.some((path) => path.includes(name)),
          name,
        );
    });

    onPage('the whole package from another origin works', async ({ evaluate }) => {
      await using elsewhere = await openSite({ folders: { '/library/': built }, isolated, shared: true });
      const failure = await evaluate(load, { model, options: {}, from: `${elsewhere.url}/library/index.js` });
      assert.equal(failure, undefined);
      assert.ok(elsewhere.requests.some((line) => line.includes('engine-worker.js 200')));
    });
  });
}

/** Loads on the page and says how it failed. */
async function load(given: {
  entry: string;
  from?: string;
  model: unknown;
  options: object;
}): Promise<Failure | undefined> {
  const { Engine } = (await import(given.from ?? given.entry)) as Nearfield;
  try {
    const engine = await Engine.load(given.model as string, given.options);
    await engine.close();
    return undefined;
  } catch (error) {
    const { name, code, message } = error as Failure;
    return { name, code, message };
  }
}

function optionsOf({ assets, threads }: Attempt): object {
  return { ...(assets ? { assets } : {}), ...(threads === undefined ? {} : { threads }) };
}
