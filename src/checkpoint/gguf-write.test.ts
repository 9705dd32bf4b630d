import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  copyOfMetadata,
  type GgufMetadata,
  type GgufTensor,
  type GgufValue,
  memorySink,
  openCheckpoint,
  writeGguf,
} from '../checkpoint.ts';
import { formatByName } from '../format.ts';

const f32 = formatByName('f32');
const q8 = formatByName('q8_0');

async function written(metadata: GgufMetadata, tensors: readonly GgufTensor[] = []): Promise<Uint8Array> {
  const sink = memorySink();
  await writeGguf(sink, { metadata, tensors });
  return sink.bytes();
}

const longText = 'é'.repeat(70_000);
const everyType = new Map<string, GgufValue>([
  ['uint8', { type: 'uint8', value: 255 }],
  ['int8', { type: 'int8', value: -128 }],
  ['uint16', { type: 'uint16', value: 65535 }],
  ['int16', { type: 'int16', value: -32768 }],
  ['uint32', { type: 'uint32', value: 2 ** 32 - 1 }],
  ['int32', { type: 'int32', value: -(2 ** 31) }],
  ['float32', { type: 'float32', value: 0.1 }],
  ['float64', { type: 'float64', value: 0.1 }],
  ['nan', { type: 'float64', value: Number.NaN }],
  ['uint64', { type: 'uint64', value: 2n ** 64n - 1n }],
  ['uint64 small', { type: 'uint64', value: 2 ** 53 }],
  ['int64', { type: 'int64', value: -(2n ** 63n) }],
  ['true', true],
  ['false', false],
  ['string', 'A\0B▁💡\ufeff'],
  ['\ufeffkey', ''],
  ['long', longText],
  ['array uint8', Uint8Array.of(0, 255)],
  ['array int8', Int8Array.of(-128, 127)],
  ['array uint16', Uint16Array.of(0, 65535)],
  ['array int16', Int16Array.of(-32768)],
  ['array uint32', Uint32Array.of(2 ** 32 - 1)],
  ['array int32', Int32Array.of(-1)],
  ['array float32', Float32Array.of(0.5, Number.NEGATIVE_INFINITY)],
  ['array float64', Float64Array.of(0.1)],
  ['array uint64', BigUint64Array.of(2n ** 64n - 1n)],
  ['array int64', BigInt64Array.of(-1n)],
  ['array bool', [true, false, true]],
  ['array string', ['', 'a', '\ufeffΩ', '💡', longText, 'end']],
  ['array of no bool', { type: 'array', of: 'bool', value: [] }],
  ['array of no string', { type: 'array', of: 'string', value: [] }],
  ['array int32 of numbers', { type: 'array', of: 'int32', value: [3, -4] }],
  [
    'nested',
    {
      type: 'array',
      of: 'array',
      value: [Int32Array.of(1, 2), ['x'], { type: 'array', of: 'string', value: [] }],
    },
  ],
]);

test('every metadata type survives writing and reading', async () => {
  const { metadata } = await openCheckpoint(await written(everyType));
  const expected = new Map<string, unknown>(
    [...everyType].map(([key, value]) => [
      key,
      typeof value === 'object' && 'type' in value ? value.value : value,
    ]),
  );
  expected.set('float32', Math.fround(0.1));
  expected.set('array int32 of numbers', Int32Array.of(3, -4));
  expected.set('nested', [Int32Array.of(1, 2), ['x'], []]);
  assert.deepEqual(new Map<string, unknown>(metadata.entries), expected);
  assert.equal(metadata.storedTypes?.get('uint16'), 'uint16');
  assert.equal(metadata.storedTypes?.get('array of no bool'), 'array of bool');
});

test('a copy of the metadata is the same bytes', async () => {
  const bytes = await written(everyType);
  const { metadata } = await openCheckpoint(bytes);
  assert.deepEqual(await written(copyOfMetadata(metadata)), bytes);
});

test('tensors come back from every kind of data, each at a multiple of the alignment', async () => {
  const bytesOf = (length: number) => Uint8Array.from({ length }, (_, i) => i * 7 + length);
  const large = bytesOf(5 * 1024 * 1024);
  const pieces = async function* () {
    yield bytesOf(68).subarray(0, 5);
    yield bytesOf(68).subarray(5);
  };
  const tensors: GgufTensor[] = [
    { name: 'bytes', format: f32, shape: [3], data: bytesOf(12) },
    { name: 'pieces', format: q8, shape: [2, 32], data: pieces() },
    { name: 'list', format: f32, shape: [1, 2, 1, 3], data: [bytesOf(24)] },
    {
      name: 'asked',
      format: f32,
      shape: [5 * 512, 512],
      data: (at, length) => large.subarray(at, at + length),
    },
  ];
  for (const alignment of [1, 8, 32, 4096]) {
    const metadata = { 'general.alignment': { type: 'uint32', value: alignment } } as const;
    const copies = tensors.map((tensor) =>
      tensor.name === 'pieces' ? { ...tensor, data: pieces() } : tensor,
    );
    const bytes = await written(metadata, copies);
    const checkpoint = await openCheckpoint(bytes);
    assert.equal(bytes.byteLength % alignment, 0);
    assert.deepEqual([...checkpoint.tensors.keys()], ['bytes', 'pieces', 'list', 'asked']);
    for (const entry of checkpoint.tensors.values()) {
      assert.equal(entry.byteOffset % alignment, 0, entry.name);
      const read = new Uint8Array(entry.byteLength);
      await checkpoint.read(entry, 0, read);
      assert.deepEqual(read, entry.name === 'asked' ? large : bytesOf(entry.byteLength), entry.name);
    }
    assert.deepEqual(checkpoint.tensors.get('list')?.shape, [1, 2, 1, 3]);
    assert.deepEqual(checkpoint.tensors.get('pieces')?.format, q8);
  }
});

test('what a file cannot hold is refused by name, and the sink is discarded', async () => {
  const data = new Uint8Array(4);
  const tensor = { name: 't', format: f32, shape: [1], data };
  const failures: readonly (readonly [GgufMetadata, GgufTensor[], RegExp])[] = [
    [{ k: { type: 'uint8', value: 256 } }, [], /"k".*256.*uint8/],
    [{ k: { type: 'int64', value: 2n ** 63n } }, [], /"k".*int64/],
    [{ k: { type: 'uint32', value: 1.5 } }, [], /"k".*1\.5/],
    [{ k: { type: 'uint64', value: Number.NaN } }, [], /"k".*NaN/],
    [{ k: [] }, [], /"k".*type/],
    [{ k: { type: 'array', of: 'string', value: [1] } }, [], /"k".*string/],
    [{ '': 'x' }, [], /key ""/],
    [{ 'general.alignment': { type: 'uint32', value: 24 } }, [], /power of two/],
    [{}, [tensor, tensor], /two tensors "t"/],
    [{}, [{ ...tensor, shape: [] }], /"t" has 0 dimensions/],
    [{}, [{ ...tensor, shape: [1, 1, 1, 1, 1] }], /"t" has 5 dimensions/],
    [{}, [{ ...tensor, shape: [0] }], /"t".*\[0\]/],
    [{}, [{ ...tensor, format: q8, shape: [33] }], /"t".*33.*q8_0/],
    [{}, [{ ...tensor, shape: [2] }], /"t" has 8 bytes, its data gave 4/],
    [{}, [{ ...tensor, data: [data, data] }], /"t" has 4 bytes, its data gave more/],
  ];
  for (const [metadata, tensors, message] of failures) {
    const sink = memorySink();
    await assert.rejects(writeGguf(sink, { metadata, tensors }), { code: 'bad-argument', message });
    assert.equal(sink.bytes().byteLength, 0);
  }
  const unnumbered = { ...tensor, format: { ...f32, ggufType: undefined } as unknown as typeof f32 };
  await assert.rejects(written({}, [unnumbered]), { code: 'unsupported', message: /no type for f32/ });
  const writing = writeGguf(memorySink(), { metadata: {}, tensors: [tensor] }, AbortSignal.abort());
  await assert.rejects(writing, { code: 'aborted' });
});

test('a format that is not of GGUF marks the file with its version, and no other version is read', async () => {
  const format = formatByName('e0m4_32');
  const key = 'nearfield.e0m4.version';
  const tensor = { name: 'x', format, shape: [2, 32], data: new Uint8Array(40) };
  const bytes = await written({ [key]: { type: 'uint32', value: 7 }, other: 'stays' }, [
    tensor,
    { ...tensor, name: 'y' },
  ]);
  const checkpoint = await openCheckpoint(bytes);
  assert.equal(checkpoint.tensors.get('x')?.format, format);
  assert.deepEqual([checkpoint.metadata.number(key), checkpoint.metadata.string('other')], [1, 'stays']);
  const at = Buffer.from(bytes.buffer).indexOf(key);
  const changed = (distance: number, byte: number) =>
    bytes.map((old, index) => (index === at + distance ? byte : old));
  const newer = openCheckpoint(changed(key.length + 4, 2));
  await assert.rejects(newer, {
    code: 'unsupported',
    message: /has "nearfield.e0m4.version" 2, .*"x".*version 1 is read/,
  });
  await assert.rejects(openCheckpoint(changed(0, 0x4e)), {
    code: 'unsupported',
    message: /has no "nearfield/,
  });
  const plain = await openCheckpoint(
    await written({}, [{ name: 'x', format: f32, shape: [1], data: new Uint8Array(4) }]),
  );
  assert.equal(plain.metadata.entries.size, 0);
});
