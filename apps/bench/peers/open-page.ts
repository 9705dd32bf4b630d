/** An engine on a cross-origin isolated page of a headless Chromium of its own. */
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Contender, type ContenderSpec, firstPromptTokens } from './contender.ts';
import { peakRendererBytes } from './resident-memory.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));

/** What is used of the browser harness of the tests, which is no part of the engine and is found at run time. */
interface Page {
  goto(url: string): Promise<unknown>;
  evaluate(work: (given: never) => unknown, given: unknown): Promise<unknown>;
}
interface Browser {
  readonly context: { newPage(): Promise<Page>; browser(): { version(): string } | null };
  close(): Promise<void>;
}
interface Harness {
  openBrowser(): Promise<Browser | { skip: string }>;
  openSite(options: object): Promise<{ readonly url: string; close(): Promise<void> }>;
}

async function loadHarness(): Promise<Harness> {
  const modules = ['chromium.ts', 'site.ts'].map(
    (name) => import(new URL(`../../../test/browser/${name}`, import.meta.url).href),
  );
  return Object.assign({}, ...(await Promise.all(modules))) as Harness;
}

const scripts = {
  'nearfield-chromium': 'nearfield',
  'wllama-2': 'wllama-2',
  'wllama-latest': 'wllama-latest',
};

export async function openPageContender(spec: ContenderSpec): Promise<Contender> {
  const { kind, modelPath, threads, contextRows, cache: cacheType = 'f16' } = spec;
  const { openBrowser, openSite } = await loadHarness();
  const browser = await openBrowser();
  if ('skip' in browser) throw new Error(browser.skip);
  const folders = {
    '/': fileURLToPath(new URL('./page/', import.meta.url)),
    '/dist/': `${root}dist`,
    '/peers/': fileURLToPath(new URL('./node_modules/', import.meta.url)),
    '/models/': dirname(modelPath),
  };
  const site = await openSite({ folders, isolated: true });
  const page = await browser.context.newPage();
  const startedAtMs = Date.now();
  await page.goto(`${site.url}/index.html`);
  const opened = (await page.evaluate(
    async ({ script, settings }: { script: string; settings: object }) => {
      const { openContender } = await import(script);
      const idsOf = (count: number) =>
        Array.from({ length: count }, (_, index) => 300 + ((index * 7919) % 30_000));
      const contender = await openContender(settings, idsOf);
      (globalThis as { contender?: object }).contender = contender;
      return { about: contender.about, firstTokenAtMs: contender.firstTokenAtMs };
    },
    {
      script: `/${scripts[kind as keyof typeof scripts]}.js`,
      settings: {
        entry: `${site.url}/dist/index.js`,
        folder: `${site.url}/peers/${kind}/`,
        model: `${site.url}/models/${modelPath.slice(dirname(modelPath).length + 1)}`,
        ...{ threads, contextRows, cacheType, firstPromptTokens },
      },
    },
  )) as { about: string; firstTokenAtMs: number };
  const call = async (name: string, ...parameters: number[]): Promise<number> =>
    (await page.evaluate(
      ({ name, parameters }: { name: string; parameters: number[] }) => {
        const { contender } = globalThis as unknown as {
          contender: Record<string, (...values: number[]) => Promise<number>>;
        };
        return contender[name]?.(...parameters);
      },
      { name, parameters },
    )) as number;
  return {
    about: `Chromium ${browser.context.browser()?.version() ?? ''}, ${opened.about}`,
    firstTokenAtMs: opened.firstTokenAtMs,
    startedAtMs,
    fill: (depth) => call('fill', depth),
    prompt: (depth, tokens) => call('prompt', depth, tokens),
    decode: (depth, tokens) => call('decode', depth, tokens),
    peakBytes: async () => peakRendererBytes(),
    async close() {
      await browser.close();
      await site.close();
    },
  };
}
