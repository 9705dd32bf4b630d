/** Models loaded in turn: what one held is free before the next is loaded. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openBackend } from '../../src/backend.ts';
import { loadEngine } from '../../src/engine.ts';

const fable = fileURLToPath(new URL('../../models/fable/fable-4m-q8_0.gguf', import.meta.url));
const mebibyte = 2 ** 20;

/** Bytes by which the process was ever larger after a round than after the second; the first also loads code. */
async function growthOver(rounds: number, round: () => Promise<void>): Promise<number> {
  const resident: number[] = [];
  for (let index = 0; index < rounds; index++) {
    await round();
    resident.push(process.memoryUsage.rss());
  }
  return Math.max(...resident.slice(2)) - (resident[1] ?? 0);
}

test('engines opened and closed in turn do not pile up', async (t) => {
  let saved: Uint8Array | undefined;
  let heldBytes = 0;
  const growth = await growthOver(7, async () => {
    const engine = await loadEngine(fable, { contextLength: 1024, cacheType: 'f32', threads: 2 });
    if (!saved) {
      const session = await engine.session();
      const ids = Array.from({ length: 1000 }, (_, index) => 300 + (index % 3000));
      await session.generate(ids, { maxTokens: 2 }).result();
      saved = await session.save();
    }
    // Many sessions make a small model hold much.
    for (let count = 0; count < 24; count++) await engine.restore(saved);
    heldBytes = (await engine.memory()).kvCacheBytes;
    await engine.close();
  });
  t.diagnostic(`${growth / mebibyte} MiB more after 5 engines of ${heldBytes / mebibyte} MiB`);
  assert.ok(heldBytes > 64 * mebibyte);
  assert.ok(growth < 2 * heldBytes);
});

test('nor do machines of several memories', async (t) => {
  const bytes = new Uint8Array(100 * mebibyte).fill(1);
  const growth = await growthOver(6, async () => {
    const backend = await openBackend('wasm', { threads: 2, memories: 3 });
    backend.write(backend.allocate(bytes.length, 'test'), 0, bytes);
    await backend.close();
  });
  t.diagnostic(`${growth / mebibyte} MiB more after 4 machines of 300 MiB`);
  assert.ok(growth < 600 * mebibyte);
});

test('a closed backend says so, and may be closed again', async () => {
  for (const memories of [1, 2]) {
    const backend = await openBackend('wasm', { threads: 1, memories });
    const region = backend.allocate(1000, 'test');
    await backend.close();
    await backend.close();
    assert.throws(() => backend.allocate(1000, 'test'), { code: 'backend', message: /closed/ });
    await assert.rejects(async () => backend.read(region, 0, new Uint8Array(4)), { code: 'backend' });
  }
});
