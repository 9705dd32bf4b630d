import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { NearfieldError } from '../base/error.ts';
import { type ByteSource, memorySink, openCheckpoint, writeGguf } from '../checkpoint.ts';
import { formatByName } from '../format.ts';
import { openStore, type Store } from '../store.ts';
import { spoolCheckpoint } from './spool.ts';

const MiB = 2 ** 20;

async function temporaryStore(t: TestContext): Promise<{ store: Store; folder: string }> {
  const parent = await mkdtemp(join(tmpdir(), 'nearfield-spool-'));
  t.after(() => rm(parent, { recursive: true }));
  const folder = join(parent, 'cache');
  return { store: await openStore({ folder }), folder };
}

async function modelBytes(): Promise<Uint8Array> {
  const sink = memorySink();
  const data = new Uint8Array(9 * MiB).map((_, index) => index ^ (index >> 9));
  const tensors = [{ name: 'a', format: formatByName('f32'), shape: [9, MiB / 4], data }];
  await writeGguf(sink, { metadata: new Map(), tensors });
  return sink.bytes();
}

interface Remote {
  readonly source: ByteSource;
  /** Offsets that were read. */
  readonly reads: number[];
}

/** A source that counts reads and fails beyond `failsFrom`. */
function remoteSource(
  bytes: Uint8Array,
  tag: string | undefined,
  failsFrom = Number.POSITIVE_INFINITY,
): Remote {
  const reads: number[] = [];
  const source: ByteSource = {
    name: 'https://example.org/model.gguf',
    byteLength: bytes.byteLength,
    isRemote: true,
    async readInto(offset, target) {
      reads.push(offset);
      if (offset + target.byteLength > failsFrom) throw new NearfieldError('io', 'the network is gone');
      target.set(bytes.subarray(offset, offset + target.byteLength));
    },
    stamp: async () => tag,
    async close() {},
  };
  return { source, reads };
}

const pathNames = async (folder: string) => (await readdir(folder)).sort();

for (const tag of ['"one"', undefined]) {
  test(`a remote file is fetched once, whatever is read of it ${tag ? 'with' : 'without'} an entity tag`, async (t) => {
    const { store, folder } = await temporaryStore(t);
    const bytes = await modelBytes();
    for (const attempt of [1, 2]) {
      const { source, reads } = remoteSource(bytes, tag);
      const remote = await openCheckpoint(source);
      reads.length = 0;
      const progress: number[] = [];
      const local = await spoolCheckpoint(remote, store, {
        onProgress: ({ loadedBytes, totalBytes }) => {
          assert.equal(totalBytes, bytes.byteLength);
          progress.push(loadedBytes);
        },
      });
      const samples = tag ? 0 : 3;
      assert.equal(reads.length, samples + (attempt === 1 ? 10 : 0));
      assert.equal(progress.at(-1), bytes.byteLength);
      const entry = local.tensors.get('a');
      assert.ok(entry);
      const target = new Uint8Array(1000);
      for (const offset of [0, 5 * MiB, 9 * MiB - 1000]) {
        await local.read(entry, offset, target);
        const from: number = entry.byteOffset + offset;
        assert.deepEqual(target, new Uint8Array(bytes.subarray(from, from + 1000)));
      }
      assert.equal(reads.length, samples + (attempt === 1 ? 10 : 0));
      await local.close();
      assert.equal((await readdir(folder)).length, 1);
    }
  });
}

test('a copy that broke off is gone on with; another state of the file is another copy', async (t) => {
  const { store, folder } = await temporaryStore(t);
  const bytes = await modelBytes();
  const open = (tag: string, failsFrom?: number) => {
    const remote = remoteSource(bytes, tag, failsFrom);
    return openCheckpoint(remote.source).then((checkpoint) => ({ ...remote, checkpoint }));
  };
  const broken = await open('"one"', 8 * MiB);
  await assert.rejects(spoolCheckpoint(broken.checkpoint, store), {
    code: 'io',
    message: 'the network is gone',
  });
  assert.ok((await pathNames(folder)).every((name) => name.endsWith('.partial')));
  const again = await open('"one"');
  again.reads.length = 0;
  await (await spoolCheckpoint(again.checkpoint, store)).close();
  assert.deepEqual(again.reads, [8 * MiB, 9 * MiB]);
  const [name] = await pathNames(folder);
  assert.equal((await stat(join(folder, name ?? ''))).size, bytes.byteLength);
  const other = await open('"two"');
  other.reads.length = 0;
  await (await spoolCheckpoint(other.checkpoint, store)).close();
  assert.deepEqual(
    other.reads,
    Array.from({ length: 10 }, (_, piece) => piece * MiB),
  );
  assert.equal((await pathNames(folder)).length, 2);
});

test('an abort leaves what was fetched, and a store without room says so before anything is fetched', async (t) => {
  const { store, folder } = await temporaryStore(t);
  const bytes = await modelBytes();
  const { source, reads } = remoteSource(bytes, '"one"');
  const controller = new AbortController();
  const aborted = spoolCheckpoint(await openCheckpoint(source), store, {
    signal: controller.signal,
    onProgress: () => controller.abort(),
  });
  await assert.rejects(aborted, { code: 'aborted' });
  assert.equal((await pathNames(folder)).length, 1);
  reads.length = 0;
  const full: Store = { ...store, name: 'a full disk', roomBytes: async () => 1000 };
  const { source: another } = remoteSource(bytes, '"two"');
  await assert.rejects(spoolCheckpoint(await openCheckpoint(another), full), {
    code: 'io',
    message: /9\.0 MiB more in a full disk, which has 1000 bytes left/,
  });
  assert.deepEqual(reads, []);
});

test('a checkpoint of local files is its own copy', async (t) => {
  const { store } = await temporaryStore(t);
  const checkpoint = await openCheckpoint(await modelBytes());
  assert.equal(await spoolCheckpoint(checkpoint, store), checkpoint);
});
