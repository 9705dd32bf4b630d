import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CeilingExports, ceilingModule } from './ceiling-module.ts';

test('the loops compute what they say', () => {
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 2, shared: true });
  const bytes = new Uint8Array(memory.buffer);
  bytes.fill(1);
  const imports = { env: { memory } };
  const run = new WebAssembly.Instance(ceilingModule(2), imports).exports as unknown as CeilingExports;
  // One lane adds a word of every 16 bytes, and the loop reads 512 bytes.
  assert.equal(run.read(65536, 65536 + 512), 32 * 0x01010101);
  // Twelve sums of four products of 1 by 1, three rounds.
  assert.equal(run.relaxedDots(3), 12 * 4 * 3);
  // Twelve sums of two products of 257 by 257.
  assert.equal(run.wideDots(3), 12 * 2 * 257 * 257 * 3);
});
