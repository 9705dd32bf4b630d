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
        const framesWhile = async <Result>(work: () => Promise<Result>) => {
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
          const result = await work();
          isWatching = false;
          intervals.sort((a, b) => a - b);
          const at = (share: number) => intervals[Math.floor(intervals.length * share)] ?? 0;
          const frames = { p50: at(0.5), p95: at(0.95), worst: intervals.at(-1) ?? 0 };
          return { result, count: intervals.length, frames };
        };
        const idle = await framesWhile(() => new Promise((resolve) => setTimeout(resolve, 1000)));
        const results = [];
        for (const [backend, priority] of [
          ['wasm', 'interactive'],
          ['webgpu', 'throughput'],
          ['webgpu', 'interactive'],
        ] as const) {
          const engine = await Engine.load(model, { backend, priority });
          const session = await engine.session();
          // Kernels compile at their first use.
          await session.generate(ids.slice(50), { maxTokens: 1 }).result();
          await session.truncate(0);
          const { result, count, frames } = await framesWhile(() =>
            session.generate(ids, { maxTokens: 8 }).result(),
          );
          await engine.close();
          const { tokens, timings } = result;
          results.push({ backend, priority, tokens, prefillMs: timings.prefillMs, count, frames });
        }
        const { backend, backendReason } = await Engine.load(model).then(async (engine) => {
          await engine.close();
          return engine.description;
        });
        return { idle: idle.frames, results, auto: { backend, backendReason } };
      },
      { model },
    );
    if ('skip' in seen) return t.skip(seen.skip);
    const print = ({ p50, p95, worst }: { p50: number; p95: number; worst: number }) =>
      `p50 ${p50.toFixed(1)} ms, p95 ${p95.toFixed(1)} ms, worst ${worst.toFixed(1)} ms`;
    t.diagnostic(`idle: ${print(seen.idle)}`);
    for (const { backend, priority, count, frames, prefillMs } of seen.results) {
      t.diagnostic(
        `${backend}, ${priority}: prompt ${prefillMs.toFixed(0)} ms, ${count} frames, ${print(frames)}`,
      );
    }
    const [wasm, ...onGpu] = seen.results;
    for (const { tokens, count } of onGpu) {
      assert.deepEqual(tokens, wasm?.tokens);
      assert.ok(count >= 3, 'no frame was drawn');
    }
    // An adapter that is a program is never what auto takes.
    assert.equal(seen.auto.backend, 'wasm');
    assert.match(seen.auto.backendReason ?? '', /webgpu/);
  } finally {
    await browser.close();
  }
});
