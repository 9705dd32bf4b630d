/** The plain project on a web server of its own, with pages in which a test's function gets the built package. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type * as nearfield from '../../src/index.ts';
import type { OpenBrowser } from './chromium.ts';
import { makeProject } from './project.ts';
import { openSite, type Site } from './site.ts';

export type Nearfield = typeof nearfield;

const root = fileURLToPath(new URL('../../', import.meta.url));
export const modelsFolder = join(root, 'models');
export const modelPath = join(modelsFolder, 'fable', 'fable-4m-q8_0.gguf');
export const modelAddress = '/models/fable/fable-4m-q8_0.gguf';
export const prompt = 'Once upon a time';

export interface PlainSite {
  readonly site: Site;
  /** Runs `work` on a new page; what it takes and gives is plain data. Rejects where the page had an uncaught error. */
  evaluate<Given, Result>(
    work: (given: Given & { entry: string }) => Promise<Result>,
    given: Given,
    pagePath?: string,
  ): Promise<Result>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Beside the project it serves '/models/', and '/wrong/' with a file that is no model and a page for any script's name. */
export async function openPlainSite(browser: OpenBrowser, isolated: boolean): Promise<PlainSite> {
  const project = await makeProject('plain');
  const wrong = mkdtempSync(join(tmpdir(), 'nearfield-wrong-'));
  writeFileSync(join(wrong, 'no-model.gguf'), 'This is text, not a model.'.repeat(100));
  const site = await openSite({
    folders: { '/': project.folder, '/models/': modelsFolder, '/wrong/': wrong },
    isolated,
  });
  return {
    site,
    async evaluate(work, given, pagePath = project.pagePath) {
      const page = await browser.context.newPage();
      const problems: string[] = [];
      page.on('pageerror', (error) => problems.push(String(error)));
      try {
        await page.goto(`${site.url}${pagePath}`, { waitUntil: 'load' });
        const entry = `${site.url}/node_modules/nearfield/dist/index.js`;
        const result = await page.evaluate(work as never, { ...given, entry } as never);
        if (problems.length > 0) throw new Error(`The page had errors: ${problems.join('; ')}`);
        return result as Awaited<ReturnType<typeof work>>;
      } finally {
        await page.close();
      }
    },
    async [Symbol.asyncDispose]() {
      await site.close();
      project.remove();
      rmSync(wrong, { recursive: true, force: true });
    },
  };
}
