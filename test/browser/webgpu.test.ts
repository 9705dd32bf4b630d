/** WebGPU on a page of headless Chromium, whose adapter is a program: the tokens of wasm, and frames while a prompt runs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openBrowser } from './chromium.ts';
import { type Nearfield, openPlainSite } from './page.ts';
import { isBuilt } from './project.ts';

const model = '/models/fable/fable-1m-q8_0.gguf';

test('a page with WebGPU says what wasm says, and goes on drawing', { timeout: 240_000 }, async (t) => {
  if (!isBuilt()) return t.skip('dist/index.js is not built: npm run build');
  const browser = await openBrowser();
  if ('skip' in browser) return t.skip(browser.skip);
  try {
    await using plain = await openPlainSite(browser, true);
    const seen = await plain.evaluate(
      async ({ entry, model }) => {
        const { Engine } = (await import(entry)) as Nearfield;
        const gpu = (navigator as { gpu?: GPU }).gpu;
        if (!(await gpu?.requestAdapter())) return { skip: 'this Chromium has no WebGPU adapter' };
        const ids = Array.from({ length: 100 }, (_, index) => 300 + ((index * 37) % 900));
        const results = [];
        for (const backend of ['wasm', 'webgpu'] as const) {
          const engine = await Engine.load(model, { backend, priority: 'interactive' });
          const session = await engine.session();
          // Kernels compile at their first use.
          await session.generate(ids.slice(50), { maxTokens: 1 }).result();
          await session.truncate(0);
          const intervals: number[] = [];
          let last = performance.now();
          let isWatching = true;
          const frame = (): void => {
            const now = performance.now();
            intervals.push(now - last);
            last = now;
            if (isWatching) requestAnimationFrame(frame);
          };
          requestAnimationFrame(frame);
          const { tokens, timings } = await session.generate(ids, { maxTokens: 8 }).result();
          isWatching = false;
          await engine.close();
          intervals.sort((a, b) => a - b);
          const at = (share: number) => intervals[Math.floor(intervals.length * share)] ?? 0;
          const frames = { p50: at(0.5), p95: at(0.95), worst: intervals.at(-1) ?? 0 };
          results.push({ backend, tokens, prefillMs: timings.prefillMs, count: intervals.length, frames });
        }
        const { backend, backendReason } = await Engine.load(model).then(async (engine) => {
          await engine.close();
          return engine.description;
        });
        return { results, auto: { backend, backendReason } };
      },
      { model },
    );
    if ('skip' in seen) return t.skip(seen.skip);
    const [wasm, webgpu] = seen.results;
    for (const { backend, count, frames, prefillMs } of seen.results) {
      const print = (ms: number) => `${ms.toFixed(1)} ms`;
      t.diagnostic(
        `${backend}: prompt ${print(prefillMs)}, ${count} frames, p50 ${print(frames.p50)}, p95 ${print(frames.p95)}, worst ${print(frames.worst)}`,
      );
    }
    assert.deepEqual(webgpu?.tokens, wasm?.tokens);
    assert.ok((webgpu?.count ?? 0) >= 3, 'no frame was drawn');
    // An adapter that is a program is never what auto takes.
    assert.equal(seen.auto.backend, 'wasm');
    assert.match(seen.auto.backendReason ?? '', /webgpu/);
  } finally {
    await browser.close();
  }
});
