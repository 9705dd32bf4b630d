import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from '../../test/fixture/temporary-folder.ts';
import { known } from '../base/error.ts';
import { type EstimateOptions, estimateModel } from './estimate.ts';
import { loadEngine } from './load.ts';
import { loadLocalEngine } from './load-local.ts';

const fable = fileURLToPath(new URL('../../models/fable/fable-4m-q8_0.gguf', import.meta.url));
const withoutSpeed = (options: EstimateOptions = {}) => estimateModel(fable, { speed: false, ...options });

test('memory is what a loaded model holds', async () => {
  const { memory, threads, backend } = await withoutSpeed({ threads: 1 });
  await using engine = await loadEngine(fable, { threads: 1 });
  const held = await engine.memory();
  assert.equal(memory.weightsBytes, held.weightsBytes);
  // The step's tables are not worth an estimate.
  assert.ok(held.arenaBytes >= memory.arenaBytes && held.arenaBytes < memory.arenaBytes * 1.05);
  assert.equal(memory.baselineBytes, 0);
  assert.deepEqual({ threads, backend }, { threads: 1, backend: 'wasm' });
});

test('a model that one memory does not hold is estimated as it is spread', async () => {
  const options = { threads: 1, contextLength: 128, chunkRows: 64, memoryBytes: 7.5 * 2 ** 20 };
  const { memory, memories, largestContext } = await estimateModel(fable, { speed: false, ...options });
  assert.deepEqual([memories, largestContext], [2, undefined]);
  await using engine = await loadLocalEngine(fable, options);
  const held = await engine.memory();
  assert.equal(memory.weightsBytes, held.weightsBytes);
  const long = await estimateModel(fable, { speed: false, ...options, contextLength: 8192 });
  assert.deepEqual([long.fits, long.fitsFullContext], [true, false]);
  assert.ok((long.largestContext ?? 0) >= 128);
  const { fits, memories: none } = await estimateModel(fable, {
    ...{ speed: false, ...options },
    memoryBytes: 3 * 2 ** 20,
  });
  assert.deepEqual([fits, none], [false, 1]);
});

test('the cache grows with the context, the process counts', async () => {
  const [short, long] = [
    await withoutSpeed({ contextLength: 128 }),
    await withoutSpeed({ contextLength: 1000 }),
  ];
  assert.equal(short.memory.kvCacheFullBytes, short.memory.kvCachePageBytes);
  const { kvCachePageRows, kvCachePageBytes } = long.memory;
  assert.equal(kvCachePageBytes / kvCachePageRows, short.memory.kvCachePageBytes / 128);
  assert.equal(long.memory.kvCacheFullBytes, Math.ceil(1000 / kvCachePageRows) * kvCachePageBytes);
  assert.equal(short.memory.startBytes, short.memory.fullBytes);
  const based = await withoutSpeed({ contextLength: 128, residentBytes: () => 1e8 });
  assert.equal(based.memory.startBytes, short.memory.startBytes + 1e8);
});

test('fits: what there is, what the budget allows, and how much context', async () => {
  const contextLength = 2048;
  const { memory, ...nothingKnown } = await withoutSpeed({ contextLength });
  assert.deepEqual([nothingKnown.fits, nothingKnown.availableBytes], [undefined, undefined]);
  const rows = memory.kvCachePageRows;
  const pages = (count: number) => memory.startBytes + (count - 1) * memory.kvCachePageBytes;
  const judged = async (options: EstimateOptions) => {
    const { fits, fitsFullContext, largestContext } = await withoutSpeed({ contextLength, ...options });
    return [fits, fitsFullContext, largestContext];
  };
  assert.deepEqual(await judged({ availableBytes: pages(4) }), [true, true, 4 * rows]);
  assert.deepEqual(await judged({ availableBytes: pages(4) - 1 }), [true, false, 3 * rows]);
  assert.deepEqual(await judged({ availableBytes: pages(1) - 1 }), [false, false, 0]);
  const budget = { memoryBudget: pages(2), availableBytes: 1e12, residentBytes: () => 1e9 };
  assert.deepEqual(await judged(budget), [true, false, 2 * rows]);
});

test('speed is measured, and falls with depth', async () => {
  const { speeds, promptRows } = await estimateModel(fable, { threads: 1, contextLength: 8192 });
  assert.equal(promptRows, 512);
  assert.deepEqual(
    speeds.map(({ depth }) => depth),
    [0, 512, 4096],
  );
  for (const [index, speed] of speeds.entries()) {
    const before = speeds[index - 1];
    const { decodeTokensPerSecond, prefillTokensPerSecond, bytes } = speed;
    assert.ok(decodeTokensPerSecond > 0 && Number.isFinite(decodeTokensPerSecond));
    assert.ok(prefillTokensPerSecond > 0 && Number.isFinite(prefillTokensPerSecond));
    if (!before) continue;
    assert.ok(decodeTokensPerSecond <= before.decodeTokensPerSecond);
    assert.ok(prefillTokensPerSecond <= before.prefillTokensPerSecond);
    assert.ok(bytes > before.bytes);
  }
});

test('every backend can be asked; wrong options are refused', async () => {
  const { backend, threads } = await withoutSpeed({ backend: 'reference' });
  assert.deepEqual([backend, threads], ['reference', 1]);
  await assert.rejects(withoutSpeed({ contextLength: 0 }), { code: 'bad-argument' });
  await assert.rejects(estimateModel(new Uint8Array(100)), { code: 'bad-file' });
  await assert.rejects(estimateModel(fable, { signal: AbortSignal.abort() }), { code: 'aborted' });
});

test('a model that the budget does not hold is estimated as it is streamed', async () => {
  await using folder = await temporaryFolder();
  const options = { threads: 1, contextLength: 128, memoryBudget: 6 * 2 ** 20 };
  const estimate = await withoutSpeed(options);
  await using engine = await loadEngine(fable, { ...options, cacheFolder: folder.path('cache') });
  const { slotBytes, readBytesPerSecond, readMsPerPass, ...streaming } = known(
    estimate.streaming,
    'streaming',
  );
  assert.deepEqual(streaming, engine.description.streaming);
  assert.ok(slotBytes > 0 && streaming.slots >= 1 && streaming.bytesPerPass > 0);
  assert.deepEqual([readBytesPerSecond, readMsPerPass], [undefined, undefined]);
  assert.deepEqual([estimate.fits, estimate.contextLength], [true, engine.description.contextLength]);
  const { weightsBytes, arenaBytes } = await engine.memory();
  assert.ok(
    estimate.memory.weightsBytes >= weightsBytes && estimate.memory.fullBytes <= options.memoryBudget,
  );
  assert.ok(estimate.memory.arenaBytes <= arenaBytes);
  const measured = await estimateModel(fable, { ...options, depths: [0] });
  const { readMsPerPass: readMs = 0 } = known(measured.streaming, 'streaming');
  // Through its inverse, which rounds.
  const passMs = 1000 / (measured.speeds[0]?.decodeTokensPerSecond ?? 0);
  assert.ok(readMs > 0 && passMs >= readMs * (1 - 1e-9));
  const tooSmall = await withoutSpeed({ ...options, memoryBudget: 2 ** 20 });
  assert.deepEqual([tooSmall.fits, tooSmall.streaming], [false, undefined]);
});
