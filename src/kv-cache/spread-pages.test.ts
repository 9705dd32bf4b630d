import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Backend, Region } from '../backend.ts';
import { openBudget } from '../base/budget.ts';
import { known } from '../base/error.ts';
import { openKvCache } from '../kv-cache.ts';

test('a page lies at one address in several memories, and is saved as one', async () => {
  const parts = [128 * 4, 256 * 4];
  const strideBytes = Math.max(...parts);
  const allocated: number[] = [];
  const bytesOf = parts.map(() => new Uint8Array(64 * strideBytes));
  const touched = (region: Region, offset: number, length: number) => {
    assert.ok(offset >= 0 && offset + length <= region.byteLength);
    return region.addressWords * 4 + offset;
  };
  const backend = {
    allocate(byteLength: number): Region {
      allocated.push(byteLength);
      return { addressWords: 0, byteLength };
    },
    release() {},
    write(region: Region, offset: number, bytes: Uint8Array, memory?: number) {
      const at = touched(region, offset, bytes.length);
      bytesOf.forEach((memoryBytes, index) => {
        if (memory === undefined || memory === index) memoryBytes.set(bytes, at);
      });
    },
    async read(region: Region, offset: number, target: Uint8Array, memory = 0) {
      const at = touched(region, offset, target.length);
      target.set(known(bytesOf[memory], 'memory').subarray(at, at + target.length));
    },
  } as unknown as Backend;
  const budget = openBudget();
  const layout = { pageRows: 128, pageBytes: 384 * 4, partBytes: parts, strideBytes };
  const cache = openKvCache({ backend, layout, contextLength: 512, budget });
  let page = 0;
  const restored = await cache.restore(300, async (bytes) => {
    assert.equal(bytes.length, 384 * 4);
    bytes.fill(++page);
  });
  assert.deepEqual(allocated, [4 * strideBytes]);
  assert.deepEqual([cache.heldBytes, budget.reservedBytes], [4 * 384 * 4, 4 * 384 * 4]);
  const addresses = restored.pageAddresses.map((address) => address * 4);
  assert.deepEqual(addresses, [0, strideBytes, 2 * strideBytes]);
  for (const [memory, partBytes] of parts.entries()) {
    for (const [index, address] of addresses.entries()) {
      const part = known(bytesOf[memory], 'memory').subarray(address, address + partBytes);
      assert.ok(part.every((byte) => byte === index + 1));
    }
  }
  const saved: number[] = [];
  await cache.save(restored, async (bytes) => {
    saved.push(known(bytes[0], 'first byte'), known(bytes.at(-1), 'last byte'), bytes.length);
  });
  assert.deepEqual(saved, [1, 1, 1536, 2, 2, 1536, 3, 3, 1536]);
});
