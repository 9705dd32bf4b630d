/** Streaming from a disk, a store and a source that misbehave: right bits or a typed error, and nothing left open. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { open, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import type { BackendName } from '../../src/backend.ts';
import { NearfieldError } from '../../src/base/error.ts';
import { type Checkpoint, openCheckpoint, steadyCheckpoint } from '../../src/checkpoint.ts';
import type { Segment } from '../../src/plan.ts';
import { openStore, type Store, type StoredFile } from '../../src/store.ts';
import { feed, openTinyEngine } from '../fixture/open-executor.ts';
import { openStreamed, type StreamedModel, type StreamedOptions } from '../fixture/open-streamed.ts';
import { type TemporaryFolder, temporaryFolder } from '../fixture/temporary-folder.ts';
import { tinyModelBytes, tinyShapes } from '../fixture/tiny-model.ts';

const bytes = await tinyModelBytes('llama', { shape: { ...tinyShapes.llama, layers: 5, vocabulary: 1200 } });
const sidecarName = 'packed';
/** Beyond the header, inside the second layer. */
const placeOfDamage = 4096 + 130_000;

type Play = Pick<StreamedModel, 'executor' | 'cache'>;

async function play({ executor, cache }: Play, tokens = [5, 900, 17]): Promise<number[]> {
  const sequence = cache.openSequence();
  const seen: number[] = [];
  for (const token of tokens) seen.push(...(await feed(executor, sequence, [token, token + 1])));
  sequence.close();
  return seen;
}

const expected = new Map<BackendName, number[]>();
async function expectedOf(name: BackendName): Promise<number[]> {
  const before = expected.get(name);
  if (before) return before;
  const engine = await openTinyEngine(name, { bytes });
  const seen = await play(engine);
  await engine.close();
  expected.set(name, seen);
  return seen;
}

/** Open files of this process, where it can tell. */
async function openFileCount(): Promise<number> {
  return existsSync('/proc/self/fd') ? (await readdir('/proc/self/fd')).length : 0;
}

interface Place {
  readonly folder: TemporaryFolder;
  readonly store: Store;
  readonly sidecarPath: string;
  open(
    name: BackendName,
    options?: Partial<StreamedOptions>,
    model?: Uint8Array | Checkpoint,
  ): Promise<StreamedModel>;
}

/** A test with a store of its own, after which no more files are open than before. */
function place(name: string, work: (place: Place) => Promise<void>): void {
  test(name, async () => {
    const before = await openFileCount();
    {
      await using folder = await temporaryFolder();
      const store = await openStore({ folder: folder.path('cache') });
      await work({
        ...{ folder, store, sidecarPath: folder.path(`cache/${sidecarName}`) },
        open: (backend, options = {}, model = bytes) =>
          openStreamed(backend, model, { store, sidecarName, ...options }),
      });
    }
    assert.equal(await openFileCount(), before, 'files left open');
  });
}

async function damage(path: string, offset: number): Promise<void> {
  const handle = await open(path, 'r+');
  const before = new Uint8Array(4);
  await handle.read(before, 0, 4, offset);
  await handle.write(
    before.map((byte) => byte ^ 0x55),
    0,
    4,
    offset,
  );
  await handle.close();
}

for (const name of ['wasm', 'reference'] as const) {
  place(`${name}: a damaged block is put right, in memory and on disk`, async ({ open, sidecarPath }) => {
    await (await open(name))[Symbol.asyncDispose]();
    await damage(sidecarPath, placeOfDamage);
    {
      await using model = await open(name, { resident: 1 });
      assert.deepEqual(await play(model), await expectedOf(name));
      assert.equal(model.weights.traffic()?.repairedBlocks, 1);
    }
    await using again = await open(name);
    assert.deepEqual(await play(again), await expectedOf(name));
    assert.equal(again.weights.traffic()?.repairedBlocks, 0);
  });

  place(
    `${name}: a file that is cut or overwritten while it is streamed does not change a bit`,
    async (at) => {
      await using model = await at.open(name);
      assert.deepEqual(await play(model), await expectedOf(name));
      await damage(at.sidecarPath, placeOfDamage);
      assert.deepEqual(await play(model), await expectedOf(name));
      const repaired = model.weights.traffic()?.repairedBlocks ?? 0;
      assert.ok(repaired > 0);
      await truncate(at.sidecarPath, placeOfDamage);
      assert.deepEqual(await play(model), await expectedOf(name));
      assert.ok((model.weights.traffic()?.repairedBlocks ?? 0) > repaired);
    },
  );

  place(`${name}: a handle that is taken away leaves the model's own file`, async ({ store, open }) => {
    const files: StoredFile[] = [];
    const watched: Store = {
      ...store,
      open: async (file) => {
        const opened = await store.open(file);
        if (opened) files.push(opened);
        return opened;
      },
    };
    await (await open(name))[Symbol.asyncDispose]();
    await using model = await open(name, { store: watched });
    assert.deepEqual(await play(model), await expectedOf(name));
    await files[0]?.close();
    assert.deepEqual(await play(model), await expectedOf(name));
    assert.ok((model.weights.traffic()?.repairedBlocks ?? 0) > 0);
  });
}

place(
  'a sidecar whose header is damaged, or that is too short, is made anew',
  async ({ open, sidecarPath }) => {
    await (await open('reference'))[Symbol.asyncDispose]();
    const whole = await readFile(sidecarPath);
    for (const spoil of [
      () => damage(sidecarPath, 8),
      () => damage(sidecarPath, 60),
      () => truncate(sidecarPath, whole.length - 1),
      () => writeFile(sidecarPath, new Uint8Array(0)),
    ]) {
      await spoil();
      await using model = await open('reference');
      assert.deepEqual(await play(model), await expectedOf('reference'));
      assert.deepEqual(await readFile(sidecarPath), whole);
    }
  },
);

/** A store whose finished files do as `control` says at each read. */
function unsteady(store: Store, control: { beforeRead(): Promise<void> }): Store {
  const wrap = (file: StoredFile): StoredFile => ({
    ...{ name: file.name, byteLength: file.byteLength },
    async readInto(offset, target) {
      await control.beforeRead();
      await file.readInto(offset, target);
    },
    replace: (offset, content) => file.replace(offset, content),
    handOver: () => file.handOver(),
    close: () => file.close(),
  });
  return {
    ...store,
    async open(name) {
      const file = await store.open(name);
      return file && wrap(file);
    },
  };
}

/** A checkpoint that can be broken. */
function breakable(checkpoint: Checkpoint, control: { failure: NearfieldError | undefined }): Checkpoint {
  const { name, container, metadata, tensors, parts, byteLength } = checkpoint;
  return {
    ...{ name, container, metadata, tensors, parts, byteLength },
    async read(...call) {
      if (control.failure) throw control.failure;
      await checkpoint.read(...call);
    },
    close: () => checkpoint.close(),
  };
}

place(
  'a disk that fails in the middle of a pass ends the step; when it is back all goes on',
  async ({ open, store }) => {
    const source = { failure: undefined as NearfieldError | undefined };
    const disk = { failure: undefined as NearfieldError | undefined };
    const checkpoint = breakable(await openCheckpoint(bytes), source);
    await (await open('reference'))[Symbol.asyncDispose]();
    const broken = unsteady(store, {
      async beforeRead() {
        if (disk.failure) throw disk.failure;
      },
    });
    await using model = await open('reference', { store: broken }, checkpoint);
    assert.deepEqual(await play(model), await expectedOf('reference'));
    const committed = model.cache.openSequence();
    await feed(model.executor, committed, [3]);
    disk.failure = new NearfieldError('io', 'the disk is gone');
    source.failure = new NearfieldError('io', 'the other disk is gone, too');
    // What was read ahead may serve one more step.
    let steps = 0;
    await assert.rejects(
      async () => {
        for (; steps < 3; steps++) await feed(model.executor, committed, [7]);
      },
      { code: 'io', message: 'the other disk is gone, too' },
    );
    assert.deepEqual([committed.committed, committed.pending], [1 + steps, 0]);
    committed.close();
    source.failure = disk.failure = undefined;
    assert.deepEqual(await play(model), await expectedOf('reference'));
  },
);

place('a read that hangs holds up no abort; the step after it is right', async ({ open, store }) => {
  await (await open('reference'))[Symbol.asyncDispose]();
  const control = { waits: false, waiting: [] as (() => void)[], reads: 0 };
  const slow = unsteady(store, {
    async beforeRead() {
      control.reads++;
      if (!control.waits) return;
      await new Promise<void>((resolve) => void control.waiting.push(resolve));
    },
  });
  await using model = await open('reference', { store: slow });
  assert.deepEqual(await play(model), await expectedOf('reference'));
  control.waits = true;
  const sequence = model.cache.openSequence();
  const controller = new AbortController();
  const rows = [1, 2].map((token, index) => ({
    ...{ sequence, token, position: index, parent: index === 0 ? -1 : { row: 0 } },
  }));
  const readsBefore = control.reads;
  const running = model.executor.run({ rows, select: { kind: 'nothing' } }, { signal: controller.signal });
  while (control.reads === readsBefore) await new Promise((resolve) => setTimeout(resolve, 1));
  controller.abort();
  await assert.rejects(running, { code: 'aborted' });
  assert.deepEqual([sequence.committed, sequence.pending], [0, 0]);
  sequence.close();
  control.waits = false;
  for (const goOn of control.waiting) goOn();
  assert.deepEqual(await play(model), await expectedOf('reference'));
});

place(
  'a model whose file changed is refused when its bytes are needed',
  async ({ folder, open, sidecarPath }) => {
    const path = folder.path('model.gguf');
    await writeFile(path, bytes);
    const source = await openCheckpoint(path);
    const checkpoint = await steadyCheckpoint(source);
    {
      await using model = await open('wasm', {}, checkpoint);
      assert.deepEqual(await play(model), await expectedOf('wasm'));
      // Another file in its place: the one that is open stays what it was.
      await writeFile(folder.path('other'), new Uint8Array(100));
      await damage(path, 5000);
      await damage(sidecarPath, placeOfDamage);
      await assert.rejects(play(model), { code: 'bad-file', message: /changed while the model is in use/ });
    }
    await source.close();
  },
);

place(
  'a store without room, or with a quota that is reached, says so and leaves nothing',
  async ({ folder, store, open }) => {
    const small: Store = { ...store, name: 'a small store', roomBytes: async () => 100_000 };
    await assert.rejects(open('reference', { store: small }), {
      code: 'io',
      message: /do not fit into a small store, which has 97\.7 KiB left/,
    });
    const limited: Store = {
      ...store,
      async begin(name, signal) {
        const draft = await store.begin(name, signal);
        let left = 300_000;
        return {
          ...{ name: draft.name, byteLength: draft.byteLength },
          async write(offset, content) {
            left -= content.byteLength;
            if (left < 0) throw new NearfieldError('io', 'the quota is full');
            await draft.write(offset, content);
          },
          finish: () => draft.finish(),
          end: (options) => draft.end(options),
        };
      },
    };
    await assert.rejects(open('reference', { store: limited }), { code: 'io', message: 'the quota is full' });
    assert.deepEqual(existsSync(folder.path('cache')) ? await readdir(folder.path('cache')) : [], []);
  },
);

place(
  'two that make and use one sidecar at the same time both have the right bits',
  async ({ open, folder }) => {
    const both = await Promise.all([open('wasm', { resident: 1 }), open('wasm', { resident: 0 })]);
    try {
      for (const seen of await Promise.all(both.map((model) => play(model)))) {
        assert.deepEqual(seen, await expectedOf('wasm'));
      }
    } finally {
      await Promise.all(both.map((model) => model[Symbol.asyncDispose]()));
    }
    assert.deepEqual(await readdir(folder.path('cache')), [sidecarName]);
  },
);

place(
  'an abort at any point of loading leaves nothing open, and the next attempt loads',
  async ({ open, sidecarPath }) => {
    const checkpoint = await openCheckpoint(bytes);
    let reads = 0;
    for (let abortAt = 1; ; abortAt += 7) {
      const controller = new AbortController();
      reads = 0;
      const { name, container, metadata, tensors, parts, byteLength } = checkpoint;
      const watched: Checkpoint = {
        ...{ name, container, metadata, tensors, parts, byteLength },
        async read(...call) {
          if (++reads === abortAt) controller.abort();
          await checkpoint.read(...call);
        },
        async close() {},
      };
      const { signal } = controller;
      try {
        await using model = await open('reference', { signal }, watched);
        assert.ok(reads < abortAt, 'loaded in spite of an abort');
        assert.deepEqual(await play(model), await expectedOf('reference'));
        break;
      } catch (error) {
        assert.equal((error as NearfieldError).code, 'aborted');
        assert.equal(existsSync(sidecarPath), false);
      }
    }
    assert.ok((await stat(sidecarPath)).size > 0);
    const controller = new AbortController();
    controller.abort();
    await assert.rejects(open('reference', { signal: controller.signal }, checkpoint), { code: 'aborted' });
    await checkpoint.close();
  },
);

place('an abort in the middle of a pass, at any layer, and the next step is right', async ({ open }) => {
  await using model = await open('wasm');
  const rightBits = await expectedOf('wasm');
  for (let round = 0; round < 12; round++) {
    const sequence = model.cache.openSequence();
    const controller = new AbortController();
    const rows = [{ sequence, token: round, position: 0, parent: -1 }];
    const running = model.executor.run({ rows, select: { kind: 'nothing' } }, { signal: controller.signal });
    for (let turn = 0; turn < round; turn++) await new Promise((resolve) => setImmediate(resolve));
    controller.abort();
    await running.catch((error: NearfieldError) => assert.equal(error.code, 'aborted'));
    sequence.close();
    assert.deepEqual(await play(model), rightBits);
  }
});

place('closing in the middle of a step, and of reads ahead, ends both', async ({ open }) => {
  for (const name of ['wasm', 'reference'] as const) {
    const model = await open(name);
    const sequence = model.cache.openSequence();
    const rows = [{ sequence, token: 1, position: 0, parent: -1 }];
    const running = model.executor.run({ rows, select: { kind: 'nothing' } });
    const ended = running.then(
      () => {},
      (error: NearfieldError) => assert.equal(error.code, 'aborted'),
    );
    await Promise.all([ended, model[Symbol.asyncDispose]()]);
    assert.throws(() => model.weights.bind({} as Segment), { code: 'internal' });
    await model.weights.close();
  }
});
