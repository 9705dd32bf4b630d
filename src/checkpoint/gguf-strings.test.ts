import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readStrings } from './gguf-strings.ts';
import { HeaderReader } from './header-reader.ts';
import { memorySource } from './memory-source.ts';

function encoded(strings: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(strings.reduce((sum, string) => sum + 8 + string.byteLength, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const string of strings) {
    view.setBigUint64(at, BigInt(string.byteLength), true);
    bytes.set(string, at + 8);
    at += 8 + string.byteLength;
  }
  return bytes;
}

const read = (bytes: Uint8Array, count: number) =>
  readStrings(new HeaderReader(memorySource(bytes)), count, 'the words');

const text = new TextEncoder();

test('strings of all lengths and scripts, beyond one window', async () => {
  const alphabet = ['a', 'ß', '▁', '語', '💡', '\ufeff', '\0', '\u007f'];
  const strings: string[] = [];
  for (let i = 0; i < 40_000; i++) {
    const word = Array.from({ length: i % 23 }, (_, k) => alphabet[(i * 7 + k * k) % (1 + (i % 8))]).join('');
    strings.push(i % 9000 === 17 ? word.repeat(40_000) : word);
  }
  const source = strings.map((string) => text.encode(string));
  const bytes = encoded(source);
  assert.ok(bytes.byteLength > 4 * 1024 * 1024);
  assert.deepEqual(await read(bytes, strings.length), strings);
  assert.deepEqual(bytes, encoded(source), 'the source itself is left as it was');
});

test('lengths whose bytes are not UTF-8 by themselves', async () => {
  const strings = [127, 128, 129, 192, 255, 256, 383, 40_000, 65_535].map((length) =>
    'xé'.repeat(length).slice(0, length),
  );
  assert.deepEqual(
    await read(encoded(strings.map((string) => text.encode(string))), strings.length),
    strings,
  );
});

test('what is not UTF-8 is replaced within its own string only', async () => {
  const strings = [
    [0x61],
    [0xc4],
    [0xa0],
    [0xc4, 0xa0],
    [0xff, 0x62],
    [0xed, 0xa0, 0x80],
    [0xf0, 0x9f],
    [0x92, 0xa1],
    [],
  ];
  const decoded = await read(encoded(strings.map((string) => Uint8Array.from(string))), strings.length);
  const expected = strings.map((string) => new TextDecoder().decode(Uint8Array.from(string)));
  assert.deepEqual(decoded, expected);
  assert.equal(decoded[3], 'Ġ');
});

test('counts and lengths beyond the file are refused before memory is taken', async () => {
  const bytes = encoded([text.encode('abc'), text.encode('def')]);
  await assert.rejects(read(bytes, 3), { code: 'bad-file', message: /the words/ });
  await assert.rejects(read(bytes, 2 ** 40), { code: 'bad-file', message: /8796093022208 bytes/ });
  new DataView(bytes.buffer).setUint32(11 + 4, 0xffffffff, true);
  await assert.rejects(read(bytes, 2), { code: 'bad-file', message: /the words/ });
});
