import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ownBytes, portableInput } from './portable-input.ts';

test('addresses become text, Blobs and bytes stay, lists keep their order', () => {
  const blob = new Blob(['x']);
  const bytes = new Uint8Array(4);
  const inputs = [new URL('https://host/a.gguf'), 'b.gguf', blob, bytes];
  assert.deepEqual(portableInput(inputs), ['https://host/a.gguf', 'b.gguf', blob, bytes]);
  assert.equal(portableInput(bytes), bytes);
});

test('a part of a buffer goes without the rest of it', () => {
  const part = new Uint8Array(1000).subarray(10, 20);
  assert.equal(ownBytes(part).buffer.byteLength, 10);
  const shared = new Uint8Array(new SharedArrayBuffer(1000), 10, 10);
  assert.equal(ownBytes(shared), shared);
});

test("a caller's own source is refused", () => {
  const source = { name: 'own', byteLength: 0, readInto: async () => {}, close: async () => {} };
  assert.throws(() => portableInput([source]), { name: 'NearfieldError', code: 'unsupported' });
});
