/** The operations' cases on WebGPU in headless Chromium, whose adapter is a program: judged as those in Node are. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { temporaryFolder } from '../fixture/temporary-folder.ts';
import { openBrowser } from './chromium.ts';
import { openSite } from './site.ts';

const sources = `
  export { openWebgpuBackend } from './src/backend/webgpu/backend.ts';
  export { opCases } from './test/case/op-cases.ts';
  export { runCases } from './test/case/run-cases.ts';
`;

interface Cases {
  readonly openWebgpuBackend: typeof import('../../src/backend/webgpu/backend.ts').openWebgpuBackend;
  readonly opCases: typeof import('../case/op-cases.ts').opCases;
  readonly runCases: typeof import('../case/run-cases.ts').runCases;
}

test('the cases of the operations, in Chromium', { timeout: 300_000 }, async (t) => {
  const browser = await openBrowser();
  if ('skip' in browser) return t.skip(browser.skip);
  await using folder = await temporaryFolder();
  try {
    await build({
      stdin: { contents: sources, resolveDir: fileURLToPath(new URL('../../', import.meta.url)) },
      ...{ bundle: true, format: 'esm', target: 'es2022', platform: 'browser' },
      outfile: folder.path('cases.js'),
      external: ['node:*'],
    });
    await using site = await openSite({ folders: { '/': folder.path('.') } });
    const page = await browser.context.newPage();
    await page.route('**/cases.html', (route) =>
      route.fulfill({ contentType: 'text/html', body: '<!doctype html><title>cases</title>' }),
    );
    await page.goto(`${site.url}/cases.html`);
    const seen = await page.evaluate(async () => {
      const gpu = (navigator as { gpu?: GPU }).gpu;
      if (!(await gpu?.requestAdapter())) return 'this Chromium has no WebGPU adapter';
      const address = './cases.js';
      const { openWebgpuBackend, opCases, runCases } = (await import(address)) as Cases;
      const outcomes = await runCases(() => openWebgpuBackend({}, { parallel: false }), opCases);
      return outcomes.map(({ name, problems, skipped }) => ({ name, problems, skipped }));
    });
    if (typeof seen === 'string') return t.skip(seen);
    const run = seen.filter(({ skipped }) => skipped === undefined);
    t.diagnostic(`${run.length} of ${seen.length} cases`);
    assert.ok(run.length > 200, `${run.length} cases ran`);
    assert.deepEqual(
      run.filter(({ problems }) => problems.length > 0),
      [],
    );
  } finally {
    await browser.close();
  }
});
