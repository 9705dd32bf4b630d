/** Priorities change how the work is cut and what lies between its pieces, never the text. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { LoadOptions } from '../engine.ts';
import type { TraceEvent } from '../executor.ts';
import { loadEngine } from './load.ts';

const root = new URL('../../', import.meta.url);
const model = fileURLToPath(new URL('models/fable/fable-4m-q8_0.gguf', root));
const draft = fileURLToPath(new URL('models/fable/fable-1m-q8_0.gguf', root));
const skip = existsSync(new URL('dist/kernels-plain-shared.wasm', root))
  ? false
  : 'no kernels in dist/: npm run build';

async function generate(options: LoadOptions) {
  const events: TraceEvent[] = [];
  const given = { threads: 2, contextLength: 512, onTrace: (event: TraceEvent) => void events.push(event) };
  await using engine = await loadEngine(model, { ...given, ...options });
  await using session = await engine.session();
  const prompt = Array.from({ length: 200 }, (_, index) => 300 + index);
  const { tokens } = await session.generate(prompt, { maxTokens: 20, temperature: 0.7, seed: 3 }).result();
  return { tokens, events };
}

test('interactive: smaller passes, layer by layer, the same text', { skip }, async () => {
  const whole = await generate({});
  const gentle = await generate({ priority: 'interactive' });
  assert.deepEqual(gentle.tokens, whole.tokens);
  const rowsAtMost = ({ events }: typeof whole) => Math.max(...events.map(({ rows }) => rows));
  assert.deepEqual([rowsAtMost(whole), rowsAtMost(gentle)], [199, 64]);
  const bodies = ({ events }: typeof whole) => events.filter(({ name }) => name === 'body').length;
  assert.ok(bodies(gentle) >= 3 * bodies(whole), `${bodies(gentle)} and ${bodies(whole)} programs`);
  assert.deepEqual((await generate({ priority: 'interactive', draft })).tokens, whole.tokens);
});

test('a priority that there is not', async () => {
  await assert.rejects(loadEngine(model, { priority: 'gentle' as never }), {
    code: 'bad-argument',
    message: /throughput or interactive, not gentle/,
  });
});
