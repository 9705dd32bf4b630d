/** The engine on a page, through its worker: the same interface and the same tokens as in Node, and a page that stays free. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Engine } from '../../src/index.ts';
import { type OpenBrowser, openBrowser } from './chromium.ts';
import { modelAddress, modelPath, type Nearfield, openPlainSite, type PlainSite, prompt } from './page.ts';
import { isBuilt } from './project.ts';

const maxTokens = 40;
const model = modelAddress;

for (const isolated of [true, false]) {
  describe(`on a page ${isolated ? 'with' : 'without'} isolation`, { timeout: 240_000 }, () => {
    let browser: OpenBrowser | { skip: string } = { skip: 'not opened' };
    let plain: PlainSite | undefined;
    let expected: { tokens: readonly number[]; text: string };
    before(async () => {
      browser = isBuilt() ? await openBrowser() : { skip: 'dist/index.js is not built: npm run build' };
      if ('skip' in browser) return;
      plain = await openPlainSite(browser, isolated);
      await using engine = await Engine.load(modelPath, { threads: 1 });
      await using session = await engine.session();
      expected = await session.generate(prompt, { maxTokens }).result();
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

    onPage('a URL, a Blob, a File and bytes give the tokens of Node', async ({ evaluate, site }) => {
      const seen = await evaluate(
        async ({ entry, model, prompt, maxTokens }) => {
          const { Engine } = (await import(entry)) as Nearfield;
          const blob = await (await fetch(model)).blob();
          const bytes = new Uint8Array(await blob.arrayBuffer());
          const padded = new Uint8Array(bytes.length + 100);
          padded.set(bytes, 50);
          const inputs = {
            address: model,
            url: new URL(model, location.href),
            blob,
            file: new File([blob], 'tales.gguf'),
            bytes,
            view: padded.subarray(50, 50 + bytes.length),
          };
          const results = [];
          for (const [name, input] of Object.entries(inputs)) {
            const engine = await Engine.load(input);
            const session = await engine.session();
            const { tokens, text } = await session.generate(prompt, { maxTokens }).result();
            const { threads, source } = engine.description;
            results.push({ name, tokens, text, threads, source, processors: navigator.hardwareConcurrency });
            await engine.close();
          }
          return results;
        },
        { model, prompt, maxTokens },
      );
      for (const { name, tokens, text, threads, processors } of seen) {
        assert.deepEqual({ tokens, text }, { tokens: expected.tokens, text: expected.text }, name);
        assert.equal(threads, isolated ? Math.min(processors, 16) : 1, name);
      }
      assert.equal(seen.find(({ name }) => name === 'file')?.source, 'tales.gguf');
      assert.ok(site.requests.some((line) => line === `GET ${model} 206`));
    });

    onPage('progress is told, and timers tick while tokens are made', async ({ evaluate }) => {
      const seen = await evaluate(
        async ({ entry, model, prompt }) => {
          const { Engine } = (await import(entry)) as Nearfield;
          const stages: string[] = [];
          const loaded: number[] = [];
          const engine = await Engine.load(model, {
            onProgress: ({ stage, loadedBytes, totalBytes }) => {
              stages.push(stage);
              if (stage === 'weights') loaded.push(loadedBytes / totalBytes);
            },
          });
          const session = await engine.session();
          const rows: { doneRows: number; totalRows: number }[] = [];
          const onPrompt = (progress: { doneRows: number; totalRows: number }) => void rows.push(progress);
          const arrivals = new Set<number>();
          let ticks = 0;
          const timer = setInterval(() => ticks++, 1);
          const long = `${prompt} there was a tailor who had seven sons.`.repeat(6);
          for await (const token of session.generate(long, { maxTokens: 60, ignoreEnd: true, onPrompt })) {
            if (token.id !== undefined) arrivals.add(ticks);
          }
          clearInterval(timer);
          await engine.close();
          return { stages: [...new Set(stages)], loaded, rows, ticks, arrivals: arrivals.size };
        },
        { model, prompt },
      );
      assert.deepEqual(seen.stages, ['open', 'weights', 'ready']);
      assert.deepEqual(
        seen.loaded,
        [...seen.loaded].sort((a, b) => a - b),
      );
      assert.equal(seen.loaded.at(-1), 1);
      const last = seen.rows.at(-1);
      assert.ok(last && last.doneRows === last.totalRows && last.totalRows > 20, JSON.stringify(seen.rows));
      assert.ok(seen.ticks > 0);
      assert.ok(seen.arrivals > 1, 'all tokens arrived between two ticks');
    });

    onPage('an abort ends a load, a prompt and a generation', async ({ evaluate }) => {
      const seen = await evaluate(
        async ({ entry, model, prompt }) => {
          const { Engine } = (await import(entry)) as Nearfield;
          const codeOf = async (work: Promise<unknown>) =>
            work.then(
              () => 'done',
              ({ name, code }) => `${name} ${code}`,
            );
          const early = await codeOf(Engine.load(model, { signal: AbortSignal.abort() }));
          const loading = new AbortController();
          const stopOnce = () => loading.abort();
          const load = await codeOf(Engine.load(model, { signal: loading.signal, onProgress: stopOnce }));
          const engine = await Engine.load(model, { chunkRows: 8 });
          const session = await engine.session();
          const reading = new AbortController();
          const long = `${prompt} there was a tailor who had seven sons.`.repeat(12);
          const onPrompt = () => reading.abort();
          const read = await codeOf(
            session.generate(long, { maxTokens: 4, signal: reading.signal, onPrompt }).result(),
          );
          const writing = new AbortController();
          const generation = session.generate(prompt, { signal: writing.signal, ignoreEnd: true });
          let count = 0;
          for await (const token of generation) if (token.id !== undefined && ++count === 5) writing.abort();
          const { finish, tokens } = await generation.result();
          const again = await session.generate(prompt, { maxTokens: 3 }).result();
          await engine.close();
          return { early, load, read, finish, count, made: tokens.length, again: again.tokens.length };
        },
        { model, prompt },
      );
      const { count, made, ...rest } = seen;
      const aborted = 'NearfieldError aborted';
      assert.deepEqual(rest, { early: aborted, load: aborted, read: aborted, finish: 'aborted', again: 3 });
      assert.ok(count >= 5 && count === made, `${count} of ${made} tokens`);
    });

    onPage('leaving an iteration stops there; sessions fork, save and restore', async ({ evaluate }) => {
      const seen = await evaluate(
        async ({ entry, model, prompt, maxTokens }) => {
          const { Engine } = (await import(entry)) as Nearfield;
          const engine = await Engine.load(model);
          const session = await engine.session();
          const generation = session.generate(prompt, { maxTokens });
          const read: number[] = [];
          let readText = '';
          for await (const { id, text } of generation) {
            readText += text;
            if (id !== undefined) read.push(id);
            if (read.length === 7) break;
          }
          const { tokens, text, finish, promptTokens } = await generation.result();
          const timeline = await session.tokens();
          const fork = await session.fork();
          const restored = await engine.restore(await session.save());
          const whole: number[][] = [];
          for (const each of [session, fork, restored]) {
            const rest = each.generate([...promptTokens, ...tokens], {
              maxTokens: maxTokens - tokens.length,
            });
            whole.push([...tokens, ...(await rest.result()).tokens]);
          }
          const ids = await engine.tokenize('A tailor');
          const memory = await engine.memory();
          const back = await engine.detokenize(ids);
          const scores = await fork.score([...promptTokens, ...tokens]);
          await fork.close();
          await engine.close();
          const left = { same: String(tokens) === String(read), text: text === readText, finish };
          const kept = String(timeline) === String([...promptTokens, ...read]);
          return { left, kept, whole, back, weights: memory.weightsBytes, scores: scores.length };
        },
        { model, prompt, maxTokens },
      );
      assert.deepEqual(seen.left, { same: true, text: true, finish: 'stop' });
      assert.equal(seen.kept, true);
      for (const tokens of seen.whole) assert.deepEqual(tokens, expected.tokens);
      assert.equal(seen.back, 'A tailor');
      assert.ok(seen.weights > 4e6);
      assert.ok(seen.scores > 7);
    });

    onPage('closing ends what is under way, and the worker', async ({ evaluate }) => {
      const seen = await evaluate(
        async ({ entry, model, prompt }) => {
          const { Engine } = (await import(entry)) as Nearfield;
          const codeOf = ({ name, code }: { name: string; code?: string }) => `${name} ${code}`;
          const engine = await Engine.load(model);
          const session = await engine.session();
          const running = session.generate(prompt, { ignoreEnd: true }).result().catch(codeOf);
          await session.tokens();
          await engine.close();
          await engine.close();
          await session.close();
          const later = await engine.session().catch(codeOf);
          return { running: await running, later };
        },
        { model, prompt },
      );
      assert.deepEqual(seen, { running: 'NearfieldError aborted', later: 'NearfieldError bad-argument' });
    });
  });
}
