import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type GgufMetadata, type GgufValue, memorySink, openCheckpoint, writeGguf } from '../checkpoint.ts';
import { formatByName } from '../format.ts';

/** Tensors "t1" and "t2", each of two values. */
async function withMetadata(metadata: GgufMetadata): Promise<Uint8Array<ArrayBuffer>> {
  const sink = memorySink();
  const data = new Uint8Array(8);
  const tensors = ['t1', 't2'].map((name) => ({ name, format: formatByName('f32'), shape: [2], data }));
  await writeGguf(sink, { metadata, tensors });
  return sink.bytes();
}

/** Overwrites bytes at `distance` from the end of the name `after`. */
function patch(bytes: Uint8Array, after: string, distance: number, ...patched: number[]): void {
  const at = Buffer.from(bytes.buffer).indexOf(after);
  assert.ok(at > 0);
  bytes.set(patched, at + after.length + distance);
}

test('two keys or two tensors of one name are refused', async () => {
  const keys = await withMetadata({ ka: 'x', kb: 'y' });
  patch(keys, 'kb', -1, 0x61);
  await assert.rejects(openCheckpoint(keys), { code: 'bad-file', message: /two metadata keys "ka"/ });
  const tensors = await withMetadata({});
  patch(tensors, 't2', -1, 0x31);
  await assert.rejects(openCheckpoint(tensors), { code: 'bad-file', message: /two tensors "t1"/ });
});

test('the alignment is a power of two, and tensors keep to it', async () => {
  const bytes = await withMetadata({ 'general.alignment': { type: 'uint32', value: 16 } });
  for (const alignment of [0, 3, 24, 255]) {
    patch(bytes, 'general.alignment', 4, alignment);
    const message = new RegExp(`"general.alignment" is ${alignment}, not a power of two`);
    await assert.rejects(openCheckpoint(bytes), { code: 'bad-file', message });
  }
  patch(bytes, 'general.alignment', 4, 64);
  await assert.rejects(openCheckpoint(bytes), {
    code: 'bad-file',
    message: /"t2" begins at 16.*alignment 64/,
  });
});

test('impossible tensors are refused by name', async () => {
  const cases: readonly (readonly [distance: number, patched: number[], RegExp])[] = [
    [0, [0], /"t1" has 0 dimensions/],
    [0, [5], /"t1" has 5 dimensions/],
    [4, [0], /"t1".*\[0\]/],
    [4, [0, 0, 0, 0, 0, 0, 0, 1], /"t1".*\[72057594037927940\]/],
    [4, [0, 0, 0, 0, 0, 1], /"t1".*missing/],
    [4, [0, 0, 0, 0, 0, 0, 0x1f], /"t1".*more values than can be counted/],
    [12, [8], /"t1" has rows of 2 values.*32 \(q8_0\)/],
    [16, [0, 0, 0, 0, 0, 1], /"t1".*missing/],
  ];
  for (const [distance, patched, message] of cases) {
    const bytes = await withMetadata({});
    patch(bytes, 't1', distance, ...patched);
    await assert.rejects(openCheckpoint(bytes), { code: 'bad-file', message });
  }
});

test('absurd counts and lengths are refused', async () => {
  const counts = await withMetadata({});
  const view = new DataView(counts.buffer);
  view.setUint32(8, 262_145, true);
  await assert.rejects(openCheckpoint(counts), { code: 'bad-file', message: /262145 tensors/ });
  view.setUint32(8, 1000, true);
  await assert.rejects(openCheckpoint(counts), { code: 'bad-file', message: /the header needs 33000 bytes/ });
  view.setUint32(8, 0, true);
  view.setUint32(16, 65_537, true);
  await assert.rejects(openCheckpoint(counts), { code: 'bad-file', message: /65537 metadata keys/ });
  const key = await withMetadata({ key: 'x' });
  patch(key, 'key', -3 - 8, 0, 0, 1);
  await assert.rejects(openCheckpoint(key), { code: 'bad-file', message: /key 1 of 1 has 65536 bytes/ });
  patch(key, 'key', -3 - 8, 0, 0, 0);
  await assert.rejects(openCheckpoint(key), { code: 'bad-file', message: /key 1 of 1 is empty/ });
});

test('metadata values outside their type are refused by key', async () => {
  const flag = await withMetadata({ flag: true });
  patch(flag, 'flag', 4, 2);
  await assert.rejects(openCheckpoint(flag), { code: 'bad-file', message: /"flag" holds 2 where a boolean/ });
  patch(flag, 'flag', 0, 13);
  await assert.rejects(openCheckpoint(flag), { code: 'bad-file', message: /"flag" has type 13/ });
  const flags = await withMetadata({ flags: [true, true] });
  patch(flags, 'flags', 17, 255);
  await assert.rejects(openCheckpoint(flags), { code: 'bad-file', message: /"flags" holds 255/ });

  const nest = (depth: number): GgufValue =>
    depth === 0 ? Uint8Array.of(1) : { type: 'array', of: 'array', value: [nest(depth - 1)] };
  await openCheckpoint(await withMetadata({ nest: nest(3) }));
  const deep = openCheckpoint(await withMetadata({ nest: nest(4) }));
  await assert.rejects(deep, { code: 'bad-file', message: /"nest" nests arrays deeper/ });
  const many: GgufValue = {
    type: 'array',
    of: 'array',
    value: Array.from({ length: 10_001 }, () => new Uint8Array(0)),
  };
  const crowd = openCheckpoint(await withMetadata({ many }));
  await assert.rejects(crowd, { code: 'bad-file', message: /"many" nests more than 10000 arrays/ });
});
