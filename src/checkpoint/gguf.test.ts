import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import {
  type ByteSource,
  containerNames,
  type GgufMetadata,
  type GgufTensor,
  memorySink,
  openCheckpoint,
  writeGguf,
} from '../checkpoint.ts';
import { formatByName } from '../format.ts';
import { blobSource } from './blob-source.ts';
import { memorySource } from './memory-source.ts';

const f32 = formatByName('f32');

async function ggufBytes(
  metadata: GgufMetadata,
  tensors: readonly GgufTensor[],
): Promise<Uint8Array<ArrayBuffer>> {
  const sink = memorySink();
  await writeGguf(sink, { metadata, tensors });
  return sink.bytes();
}

const tensor = (name: string, ...values: number[]): GgufTensor => {
  return {
    name,
    format: f32,
    shape: [1, values.length],
    data: new Uint8Array(Float32Array.from(values).buffer),
  };
};

const versionOffset = 4;
const small = () => ggufBytes({ k: 'v' }, [tensor('t', 1, 2)]);

test('the container table has gguf', () => assert.ok(containerNames.includes('gguf')));

test('versions 2 and 3 open, others and big-endian files do not', async () => {
  const bytes = await small();
  const view = new DataView(bytes.buffer);
  for (const version of [2, 3]) {
    view.setUint32(versionOffset, version, true);
    const checkpoint = await openCheckpoint(bytes);
    assert.equal(checkpoint.container, 'gguf');
    assert.equal(checkpoint.byteLength, bytes.byteLength);
    assert.deepEqual([...checkpoint.tensors.keys()], ['t']);
  }
  for (const [version, message] of [
    [1, /version 1/],
    [0, /version 0/],
    [4, /version 4/],
    [3 << 24, /big-endian/],
  ] as const) {
    view.setUint32(versionOffset, version, true);
    await assert.rejects(openCheckpoint(bytes), { code: 'unsupported', message });
  }
});

test('a cut file is refused wherever it is cut, naming the tensor once the header is whole', async () => {
  const bytes = await small();
  const { tensors } = await openCheckpoint(bytes);
  const end = (tensors.get('t')?.byteOffset ?? 0) + 8;
  for (let length = 0; length < end; length++) {
    await assert.rejects(openCheckpoint(bytes.slice(0, length)), {
      name: 'NearfieldError',
      code: 'bad-file',
    });
  }
  await openCheckpoint(bytes.slice(0, end));
  const message = /the last 3 of the 8 bytes of tensor "t" are missing/;
  await assert.rejects(openCheckpoint(bytes.slice(0, end - 3)), { code: 'bad-file', message });
});

test('a type nobody decodes is named with its tensor', async () => {
  for (const type of [15, 999]) {
    const odd = { ...f32, ggufType: type };
    const bytes = await ggufBytes({}, [{ ...tensor('blk.0.odd', 1), format: odd }]);
    const message = new RegExp(`"blk\\.0\\.odd".*${type}`);
    await assert.rejects(openCheckpoint(bytes), { code: 'unsupported', message });
  }
});

test('reads stay inside their tensor', async () => {
  const checkpoint = await openCheckpoint(await small());
  const entry = checkpoint.tensors.get('t');
  assert.ok(entry);
  const target = new Uint8Array(4);
  await checkpoint.read(entry, 4, target);
  assert.deepEqual([...target], [...new Uint8Array(Float32Array.of(2).buffer)]);
  for (const offset of [5, -1, 0.5, Number.NaN]) {
    await assert.rejects(checkpoint.read(entry, offset, target), { code: 'bad-argument', message: /"t"/ });
  }
  await assert.rejects(checkpoint.read(entry, 0, target, AbortSignal.abort()), { code: 'aborted' });
});

test('sources: bytes, Blob, File, and a ByteSource of the caller', async () => {
  const bytes = await small();
  let closed = 0;
  const own: ByteSource = { ...memorySource(bytes, 'own'), close: async () => void closed++ };
  for (const input of [bytes, new Blob([bytes]), new File([bytes], 'picked.gguf'), own, [bytes]]) {
    const checkpoint = await openCheckpoint(input);
    assert.equal(checkpoint.metadata.string('k'), 'v');
    await checkpoint.close();
  }
  assert.equal(closed, 1);
  const broken: ByteSource = { ...own, readInto: () => Promise.reject(new Error('mine')) };
  await assert.rejects(openCheckpoint(broken), { message: 'mine' });
  assert.equal(closed, 2, 'a source is closed when opening fails');
  await assert.rejects(openCheckpoint(new File(['x'], 'picked.gguf')), {
    code: 'bad-file',
    message: /^picked\.gguf/,
  });
  await assert.rejects(openCheckpoint([]), { code: 'bad-argument' });
  for (const input of [undefined, null, 5, {}, [undefined]]) {
    await assert.rejects(openCheckpoint(input as unknown as Uint8Array), { code: 'bad-argument' });
  }
});

test('a Blob is read in pieces, into shared memory', async () => {
  const bytes = Uint8Array.from({ length: 9 * 1024 * 1024 }, (_, i) => i ^ (i >> 11));
  const target = new Uint8Array(new SharedArrayBuffer(bytes.byteLength - 10));
  await blobSource(new Blob([bytes])).readInto(10, target);
  assert.ok(Buffer.from(target).equals(bytes.subarray(10)));
});

/** Three files; the middle one has no tensors. */
async function splitModel(): Promise<Uint8Array<ArrayBuffer>[]> {
  const part = (number: number, metadata: GgufMetadata, tensors: GgufTensor[]) => {
    const split: GgufMetadata = {
      'split.no': { type: 'uint16', value: number },
      'split.count': { type: 'uint16', value: 3 },
      'split.tensors.count': { type: 'int32', value: 3 },
    };
    return ggufBytes({ ...metadata, ...split }, tensors);
  };
  return [
    await part(0, { 'general.architecture': 'llama' }, [tensor('a', 1)]),
    await part(1, {}, []),
    await part(2, {}, [tensor('b', 2), tensor('c', 3)]),
  ];
}

async function checkSplit(opening: ReturnType<typeof openCheckpoint>): Promise<void> {
  const checkpoint = await opening;
  assert.equal(checkpoint.metadata.string('general.architecture'), 'llama');
  const values: number[] = [];
  for (const entry of checkpoint.tensors.values()) {
    const value = new Float32Array(1);
    await checkpoint.read(entry, 0, new Uint8Array(value.buffer));
    values.push(...value, entry.part);
  }
  assert.deepEqual(values, [1, 0, 2, 2, 3, 2]);
  await checkpoint.close();
}

test('split files in memory are put in order by what they say', async () => {
  const parts = await splitModel();
  const [a, b, c] = parts;
  assert.ok(a && b && c);
  await checkSplit(openCheckpoint(parts));
  await checkSplit(openCheckpoint([new Blob([c]), a, b]));
  await assert.rejects(openCheckpoint(a), {
    code: 'bad-argument',
    message: /file 1 of 3.*give all 3 in an array/,
  });
  await assert.rejects(openCheckpoint([a, b]), {
    code: 'bad-argument',
    message: /2 files were given; give exactly 3/,
  });
  await assert.rejects(openCheckpoint([a, b, b]), { code: 'bad-argument', message: /are both file 2 of 3/ });
  const whole = await small();
  await assert.rejects(openCheckpoint([a, b, whole]), {
    code: 'bad-file',
    message: /"split\.(count|no)" is missing/,
  });
  await assert.rejects(openCheckpoint([whole, a]), { code: 'bad-argument', message: /is a whole model/ });
});

test('split files that do not belong together are refused', async () => {
  const [a, b, c] = await splitModel();
  assert.ok(a && b && c);
  const last = (count: number, tensors: GgufTensor[]) =>
    ggufBytes(
      { 'split.no': { type: 'uint16', value: 2 }, 'split.count': { type: 'uint16', value: count } },
      tensors,
    );
  const otherCount = await last(4, [tensor('b', 2), tensor('c', 3)]);
  await assert.rejects(openCheckpoint([a, b, otherCount]), { code: 'bad-file', message: /model in 4 files/ });
  const sameName = await last(3, [tensor('a', 2), tensor('c', 3)]);
  await assert.rejects(openCheckpoint([a, b, sameName]), {
    code: 'bad-file',
    message: /"a" is in another file/,
  });
  const fewer = await last(3, [tensor('b', 2)]);
  await assert.rejects(openCheckpoint([a, b, fewer]), { code: 'bad-file', message: /hold 2 tensors, not 3/ });
  const absurd = await ggufBytes({ 'split.count': { type: 'uint32', value: 4e9 } }, []);
  await assert.rejects(openCheckpoint(absurd), { code: 'bad-file', message: /4000000000/ });
});

test('one path or URL of a split model finds the others beside it', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'nearfield-split-'));
  t.after(() => rm(folder, { recursive: true }));
  const parts = await splitModel();
  const names = parts.map((_, i) => `my model-0000${i + 1}-of-00003.gguf`);
  const paths = names.map((name) => join(folder, name));
  for (const [index, path] of paths.entries()) await writeFile(path, parts[index] ?? '');
  for (const path of paths) {
    await checkSplit(openCheckpoint(path));
    await checkSplit(openCheckpoint(pathToFileURL(path)));
  }

  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://x');
    assert.equal(url.search, '?rev=7');
    const bytes = parts[names.indexOf(decodeURIComponent(url.pathname.slice('/models/'.length)))];
    if (!bytes) return response.writeHead(404).end();
    response.end(bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/models`;
  await checkSplit(openCheckpoint(`${base}/my model-00001-of-00003.gguf?rev=7`));
  const absent = openCheckpoint(`${base}/my model-00004-of-00003.gguf?rev=7`);
  await assert.rejects(absent, { code: 'not-found', message: /my%20model-00004/ });

  const [first = '', second = ''] = paths;
  await rm(second);
  await assert.rejects(openCheckpoint(first), { code: 'not-found', message: /00002-of-00003/ });
  const renamed = join(folder, 'renamed.gguf');
  await rename(first, renamed);
  await assert.rejects(openCheckpoint(renamed), { code: 'bad-argument', message: /-00001-of-00003\.gguf/ });
});

const models = fileURLToPath(new URL('../../../shared/models/', import.meta.url));

test('published and trained files open', {
  skip: !existsSync(models) && 'shared models are absent',
}, async (t) => {
  for (const folder of ['fable', 'vocab-gguf', 'stories260k', 'stories280k-tok512']) {
    if (!existsSync(join(models, folder))) {
      t.diagnostic(`${folder} is absent`);
      continue;
    }
    for (const file of readdirSync(join(models, folder)).filter((name) => name.endsWith('.gguf'))) {
      const checkpoint = await openCheckpoint(join(models, folder, file));
      assert.ok(checkpoint.metadata.string('general.architecture') !== '', file);
      assert.ok(
        checkpoint.metadata.strings('tokenizer.ggml.tokens').every((token) => typeof token === 'string'),
      );
      assert.equal(checkpoint.tensors.size > 0, folder !== 'vocab-gguf', file);
      for (const entry of checkpoint.tensors.values()) {
        await checkpoint.read(entry, entry.byteLength - 1, new Uint8Array(1));
      }
      await checkpoint.close();
    }
  }
});
