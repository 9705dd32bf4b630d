import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openCheckpoint } from '../checkpoint.ts';
import { foreignFile } from './foreign-file.ts';

const cases: readonly (readonly [string, RegExp])[] = [
  ['', /is empty/],
  ['PK\x03\x04\x14\0', /zip archive/],
  ['\n<!DOCTYPE html><html>', /web page/],
  ['<html lang="en">', /web page/],
  ['version https://git-lfs.github.com/spec/v1\noid', /Git LFS pointer/],
  ['\x48\x01\0\0\0\0\0\0{"__metadata__":{', /safetensors/],
  ['tjgg\x01\0\0\0', /older than GGUF/],
  ['FUGG\0\0\0\x03', /byte-swapped/],
  ['\x80\x02}q\0', /pickle/],
  ['\x1f\x8b\x08', /archive; unpack/],
  ['\x7fELF\x02', /program/],
  ['\0'.repeat(64), /unfinished download/],
  ['[{"architectures": ["LlamaForCausalLM"]}]', /JSON/],
  ['Once upon a time', /text file/],
  ['\xde\xad\xbe\xef', /not a model file/],
];

test('a file that is no model is named for what it looks like', async () => {
  for (const [text, looks] of cases) {
    const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
    assert.match(foreignFile(bytes.subarray(0, 64)), looks);
    await assert.rejects(openCheckpoint(new Blob([bytes])), { code: 'bad-file', message: looks });
  }
});
