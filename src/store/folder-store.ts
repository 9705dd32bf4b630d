/** A folder of the file system as a store (Node). */
import type { FileHandle } from 'node:fs/promises';
import { NearfieldError, throwIfAborted } from '../base/error.ts';
import { fileError } from '../base/file-error.ts';
import { cacheFolder, nodeModule } from '../base/platform.ts';
import type { Store, StoredDraft, StoredEntry, StoredFile, ThreadPlace } from '../store.ts';
import { partialName, storedEntry } from './partial-name.ts';
import type { ThreadFile } from './reader-worker.ts';

export function folderStore(folder: string | undefined): Store {
  const [files, paths] = [nodeModule('node:fs/promises'), nodeModule('node:path')];
  const place = folder ?? cacheFolder();
  if (!files || !paths || place === undefined) {
    throw new NearfieldError('unsupported', 'This host has no folder for caches; set NEARFIELD_CACHE to one');
  }
  const pathOf = (name: string): string => paths.join(place, name);
  return {
    name: place,
    async open(name) {
      const path = pathOf(name);
      try {
        return await openFile(path, await openForRepair(files, path));
      } catch (error) {
        const failure = fileError(path, error);
        if (failure.code === 'not-found') return undefined;
        throw failure;
      }
    },
    async begin(name, signal) {
      throwIfAborted(signal);
      const path = pathOf(name);
      try {
        await files.mkdir(place, { recursive: true });
        return await openDraft(files, path);
      } catch (error) {
        throw fileError(path, error);
      }
    },
    async roomBytes() {
      // Of the nearest folder that exists.
      for (let at = place; ; at = paths.dirname(at)) {
        const status = await files.statfs(at).catch(() => undefined);
        if (status) return status.bavail * status.bsize;
        if (at === paths.dirname(at)) return undefined;
      }
    },
    async list() {
      const names = await files.readdir(place).catch((error: unknown) => {
        const failure = fileError(place, error);
        if (failure.code === 'not-found') return [];
        throw failure;
      });
      const entries: StoredEntry[] = [];
      for (const name of names) {
        // One that another process renames or removes meanwhile is none.
        const status = await files.stat(pathOf(name)).catch(() => undefined);
        if (status?.isFile()) entries.push(storedEntry(name, status.size));
      }
      return entries;
    },
    async locate(name) {
      const path = pathOf(name);
      return (await files.stat(path).catch(() => undefined))?.isFile() ? path : undefined;
    },
    async remove(name) {
      for (const path of [pathOf(name), pathOf(partialName(name))]) {
        await files.rm(path, { force: true }).catch((error: unknown) => {
          throw fileError(path, error);
        });
      }
    },
  };
}

type Files = typeof import('node:fs/promises');

/** For reading and writing, or for reading alone where more is not allowed. */
async function openForRepair(files: Files, path: string): Promise<FileHandle> {
  try {
    return await files.open(path, 'r+');
  } catch (error) {
    if (fileError(path, error).code === 'not-found') throw error;
    return files.open(path, 'r');
  }
}

async function openFile(path: string, handle: FileHandle): Promise<StoredFile> {
  try {
    return new FolderFile(path, (await handle.stat()).size, handle);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

class FolderFile implements StoredFile {
  readonly name: string;
  readonly byteLength: number;
  readonly #handle: FileHandle;
  #direct: FileHandle | undefined;
  #closed: Promise<void> | undefined;

  constructor(name: string, byteLength: number, handle: FileHandle) {
    this.name = name;
    this.byteLength = byteLength;
    this.#handle = handle;
  }

  async readInto(offset: number, target: Uint8Array): Promise<void> {
    for (let done = 0; done < target.byteLength; ) {
      const { bytesRead } = await this.#attempt(
        this.#handle.read(target, done, target.byteLength - done, offset + done),
      );
      if (bytesRead === 0) {
        throw cutError(this.name, offset + done);
      }
      done += bytesRead;
    }
  }

  async replace(offset: number, bytes: Uint8Array): Promise<void> {
    await this.#attempt(writeAll(this.#handle, offset, bytes));
  }

  async handOver(): Promise<ThreadPlace> {
    this.#direct ??= await openDirect(this.#handle);
    return { name: this.name, descriptor: this.#handle.fd, directDescriptor: this.#direct?.fd };
  }

  close(): Promise<void> {
    this.#closed ??= Promise.all([this.#handle.close(), this.#direct?.close()]).then(() => {});
    return this.#closed;
  }

  async #attempt<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      throw fileError(this.name, error);
    }
  }
}

/**
 * The same file once more, read past the system's page cache: a copy less for the processor, and no memory that nobody
 * counts. Linux opens it so by the number of its descriptor, whatever its name is by now; undefined elsewhere, and where
 * the file system does not know of it.
 */
async function openDirect({ fd }: FileHandle): Promise<FileHandle | undefined> {
  const files = nodeModule('node:fs/promises');
  const { O_RDONLY, O_DIRECT } = files?.constants ?? {};
  if (!files || O_RDONLY === undefined || O_DIRECT === undefined) return undefined;
  return files.open(`/proc/self/fd/${fd}`, O_RDONLY | O_DIRECT).catch(() => undefined);
}

/** Offsets, lengths and addresses of direct reads are multiples of this; what is not is read the other way. */
const directAlignment = 4096;
/** One is on its way while the next is asked for; more would keep all of Node's threads for files from others. */
const readsAtATime = 3;

/** A file of this process as another of its threads reads it: descriptors belong to them all. */
export function openDescriptor(place: Extract<ThreadPlace, { readonly descriptor: number }>): ThreadFile {
  const files = nodeModule('node:fs');
  if (!files) throw new NearfieldError('internal', 'This host has no descriptors');
  const { name, descriptor } = place;
  let { directDescriptor } = place;
  const readSome = (from: number, target: Uint8Array, offset: number): Promise<number> =>
    new Promise((resolve, reject) => {
      files.read(from, target, 0, target.byteLength, offset, (error, count) => {
        if (error) reject(error);
        else resolve(count);
      });
    });
  const readPiece = async (target: Uint8Array, offset: number): Promise<number> => {
    const isAligned = [offset, target.byteLength, target.byteOffset].every((n) => n % directAlignment === 0);
    if (directDescriptor === undefined || !isAligned) return readSome(descriptor, target, offset);
    try {
      return await readSome(directDescriptor, target, offset);
    } catch (error) {
      if (!isNotAllowed(error)) throw error;
      directDescriptor = undefined;
      return readSome(descriptor, target, offset);
    }
  };
  return {
    readsAtATime,
    stamp: () => stampOf(files, descriptor),
    readInto: async (offset, target) => {
      try {
        for (let done = 0; done < target.byteLength; ) {
          const count = await readPiece(target.subarray(done), offset + done);
          if (count === 0) throw cutError(name, offset + done);
          done += count;
        }
      } catch (error) {
        throw fileError(name, error);
      }
    },
    replace: async (offset, bytes) => {
      try {
        for (let done = 0; done < bytes.byteLength; ) {
          done += files.writeSync(descriptor, bytes, done, bytes.byteLength - done, offset + done);
        }
      } catch (error) {
        throw fileError(name, error);
      }
    },
  };
}

/** Clocks of file systems go by ticks: what changed a moment ago may change again without being told from it. */
const settledMs = 2000;

function stampOf(files: typeof import('node:fs'), descriptor: number): string | undefined {
  try {
    const { size, mtimeNs, ctimeNs, ctimeMs } = files.fstatSync(descriptor, { bigint: true });
    return Math.abs(Date.now() - Number(ctimeMs)) < settledMs ? undefined : `${size} ${mtimeNs} ${ctimeNs}`;
  } catch {
    return undefined;
  }
}

/** Of a read: the file system wants another alignment. */
function isNotAllowed(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EINVAL';
}

const cutError = (name: string, end: number): NearfieldError =>
  new NearfieldError('bad-file', `${name} ends at byte ${end}; it has been cut`);

async function writeAll(handle: FileHandle, offset: number, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) {
    done += (await handle.write(bytes, done, bytes.byteLength - done, offset + done)).bytesWritten;
  }
}

/** Under a name that is the same for all who write the file: they write the same bytes, and the first to end names it. */
async function openDraft(files: Files, path: string): Promise<StoredDraft> {
  const { O_RDWR, O_CREAT } = files.constants;
  const temporaryPath = partialName(path);
  const handle = await files.open(temporaryPath, O_RDWR | O_CREAT, 0o644);
  try {
    return new FolderDraft(files, path, temporaryPath, handle, (await handle.stat()).size);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

class FolderDraft implements StoredDraft {
  readonly name: string;
  readonly byteLength: number;
  readonly #files: Files;
  readonly #temporaryPath: string;
  readonly #handle: FileHandle;
  #end: number;
  #isOpen = true;

  constructor(files: Files, name: string, temporaryPath: string, handle: FileHandle, byteLength: number) {
    this.name = name;
    this.byteLength = byteLength;
    this.#files = files;
    this.#temporaryPath = temporaryPath;
    this.#handle = handle;
    this.#end = byteLength;
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    try {
      await writeAll(this.#handle, offset, bytes);
    } catch (error) {
      throw fileError(this.name, error);
    }
    this.#end = Math.max(this.#end, offset + bytes.byteLength);
  }

  async finish(): Promise<StoredFile> {
    try {
      // Else a power cut could leave the final name on a file without its bytes.
      await this.#handle.sync();
      await this.#files
        .rename(this.#temporaryPath, this.name)
        .catch((error: unknown) => this.#expectNamed(error));
    } catch (error) {
      throw fileError(this.name, error);
    }
    this.#isOpen = false;
    return new FolderFile(this.name, this.#end, this.#handle);
  }

  async end({ keep }: { readonly keep: boolean }): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#handle.close().catch(() => {});
    if (!keep) await this.#files.rm(this.#temporaryPath, { force: true }).catch(() => {});
  }

  /** The temporary name is gone where another writer of the same file was first. */
  async #expectNamed(error: unknown): Promise<void> {
    const [named, own] = [
      await this.#files.stat(this.name).catch(() => undefined),
      await this.#handle.stat(),
    ];
    if (named?.size !== own.size) throw error;
  }
}
