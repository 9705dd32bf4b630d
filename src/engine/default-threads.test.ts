import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { LoadOptions } from '../engine.ts';
import { loadEngine } from './load.ts';

const root = new URL('../../', import.meta.url);
const model = fileURLToPath(new URL('models/fable/fable-1m-q8_0.gguf', root));
const skip = existsSync(new URL('dist/kernels-plain-shared.wasm', root))
  ? false
  : 'no kernels in dist/: npm run build';

async function generate(options: LoadOptions) {
  await using engine = await loadEngine(model, { contextLength: 512, ...options });
  await using session = await engine.session();
  const sampling = { temperature: 0.8, seed: 11, ignoreEnd: true, decoder: 'plain' } as const;
  const { tokens, threads } = await session.generate('Once', { ...sampling, maxTokens: 400 }).result();
  return { tokens, threads, opened: engine.description.threads };
}

test('whatever number of threads is tried along the way, the text is the same', { skip }, async () => {
  const one = await generate({ threads: 1 });
  const three = await generate({ threads: 3 });
  assert.deepEqual([one.threads, three.threads], [1, 3]);
  const chosen = await generate({});
  assert.deepEqual(chosen.tokens, one.tokens);
  assert.deepEqual(three.tokens, one.tokens);
  assert.ok(chosen.threads >= 1 && chosen.threads <= chosen.opened);
});
