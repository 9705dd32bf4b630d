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
  let heldBytes = 0;
  const growth = await growthOver(7, async () => {
    // A long pass makes a small model hold much.
    const engine = await loadEngine(fable, { chunkRows: 32768, contextLength: 128, threads: 2 });
    const session = await engine.session();
    await session.generate('Once', { maxTokens: 2 }).result();
    const { weightsBytes, arenaBytes } = await engine.memory();
    heldBytes = weightsBytes + arenaBytes;
    await engine.close();
  });
  t.diagnostic(`${growth / mebibyte} MiB more after 5 engines of ${heldBytes / mebibyte} MiB`);
  assert.ok(heldBytes > 64 * mebibyte);
  assert.ok(growth < 2 * heldBytes);
});

test('nor do machines of several memories', async (t) => {
  const growth = await growthOver(6, async () => {
    const backend = await openBackend('wasm', { threads: 2, memories: 3 });
    backend.allocate(100 * mebibyte, 'test');
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
