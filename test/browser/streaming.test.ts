/** A model that the memory budget does not hold, on a page: streamed from the private file system, the same tokens. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Engine } from '../../src/index.ts';
import { type OpenBrowser, openBrowser } from './chromium.ts';
import { modelAddress, modelPath, type Nearfield, openPlainSite, type PlainSite, prompt } from './page.ts';
import { isBuilt } from './project.ts';

const maxTokens = 12;
/** Less than the four layers and what they work in. */
const options = { memoryBudget: 6 * 2 ** 20, contextLength: 128 };

for (const isolated of [true, false]) {
  describe(`on a page ${isolated ? 'with' : 'without'} isolation`, { timeout: 240_000 }, () => {
    let browser: OpenBrowser | { skip: string } = { skip: 'not opened' };
    let plain: PlainSite | undefined;
    let expected: readonly number[];
    before(async () => {
      browser = isBuilt() ? await openBrowser() : { skip: 'dist/index.js is not built: npm run build' };
      if ('skip' in browser) return;
      plain = await openPlainSite(browser, isolated);
      await using engine = await Engine.load(modelPath, { threads: 1, contextLength: 128 });
      await using session = await engine.session();
      expected = (await session.generate(prompt, { maxTokens }).result()).tokens;
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
    const generate = (site: PlainSite, cacheFolder: string, input: 'address' | 'file' = 'address') =>
      site.evaluate(
        async ({ entry, model, prompt, maxTokens, options, input }) => {
          const { Engine } = (await import(entry)) as Nearfield;
          const file = async () =>
            new File([await (await fetch(model)).blob()], 'tales.gguf', { lastModified: 1 });
          const stages = new Set<string>();
          const engine = await Engine.load(input === 'file' ? await file() : model, {
            ...options,
            onProgress: ({ stage }) => void stages.add(stage),
          });
          const session = await engine.session();
          const { tokens } = await session.generate(prompt, { maxTokens }).result();
          const [report, memory] = [await engine.streaming(), await engine.memory()];
          const { streaming } = engine.description;
          await engine.close();
          return { tokens, report, memory, streaming, stages: [...stages] };
        },
        { model: modelAddress, prompt, maxTokens, options: { ...options, cacheFolder }, input },
      );
    const modelRequests = ({ site }: PlainSite) =>
      site.requests.filter((line) => line.startsWith(`GET ${modelAddress} `)).length;

    onPage('a model behind a URL is fetched once, packed once, and streamed', async (site) => {
      const before = modelRequests(site);
      const first = await generate(site, 'first');
      const fetched = modelRequests(site) - before;
      const second = await generate(site, 'first');
      // Its header, and samples to know it again: this server tells no entity tag.
      assert.ok(modelRequests(site) - before - fetched <= 3);
      for (const { tokens, report, memory, streaming } of [first, second]) {
        assert.deepEqual(tokens, expected);
        assert.ok(streaming && streaming.streamedLayers > 0 && streaming.bytesPerPass > 0);
        assert.ok(report && report.passes >= maxTokens && report.bytesRead > streaming.bytesPerPass);
        assert.equal(report?.repairedBlocks, 0);
        assert.ok(memory.weightsBytes + memory.arenaBytes + memory.kvCacheBytes <= options.memoryBudget);
      }
      assert.deepEqual(first.stages, ['open', 'download', 'weights', 'ready']);
    });

    onPage('a file that was picked needs no copy; two tabs share what was packed', async (site) => {
      const both = await Promise.all([generate(site, 'shared', 'file'), generate(site, 'shared', 'file')]);
      for (const { tokens, report, stages } of both) {
        assert.deepEqual(tokens, expected);
        assert.equal(report?.repairedBlocks, 0);
        assert.ok(!stages.includes('download'));
      }
    });

    onPage('a quota that is reached is an error of one line', async (site) => {
      if ('skip' in browser) return;
      const page = await browser.context.newPage();
      const devtools = await browser.context.newCDPSession(page);
      const origin = site.site.url;
      await page.goto(`${origin}/plain/`);
      const { usage } = await devtools.send('Storage.getUsageAndQuota', { origin });
      await devtools.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: usage + 2e6 });
      const failed = await generate(site, 'full').then(
        () => 'loaded',
        (error: unknown) => String(error),
      );
      await devtools.send('Storage.overrideQuotaForOrigin', { origin });
      await page.close();
      assert.match(failed, /needs .* MiB more in the page's storage \(full\), which has 1\.9 MiB left/);
    });
  });
}
