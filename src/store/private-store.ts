/**
 * The origin private file system as a store; written to in workers only. Files are read through synchronous handles, which
 * are as fast as the disk; where another tab has a handle that excludes others, and on a page, through Blobs.
 */
import { NearfieldError, throwIfAborted } from '../base/error.ts';
import type { Store, StoredDraft, StoredEntry, StoredFile, ThreadPlace } from '../store.ts';
import { partialName, storedEntry } from './partial-name.ts';
import type { ThreadFile } from './reader-worker.ts';

/** What the DOM library of the compiler lacks: these exist in workers only. */
interface SyncHandle {
  read(target: Uint8Array, options: { readonly at: number }): number;
  write(bytes: Uint8Array, options: { readonly at: number }): number;
  getSize(): number;
  flush(): void;
  close(): void;
}
interface FileHandle extends FileSystemFileHandle {
  createSyncAccessHandle?(options?: { readonly mode: 'read-only' | 'readwrite' }): Promise<SyncHandle>;
  move?(name: string): Promise<void>;
}

const defaultFolder = 'nearfield';

export async function openPrivateStore(folder: string = defaultFolder): Promise<Store> {
  const storage = globalThis.navigator?.storage;
  if (typeof storage?.getDirectory !== 'function') {
    throw new NearfieldError(
      'unsupported',
      'This page has no private file system; serve it over https or from localhost',
    );
  }
  const place = `the page's storage (${folder})`;
  const directory = async (): Promise<FileSystemDirectoryHandle> => {
    try {
      return await (await storage.getDirectory()).getDirectoryHandle(folder, { create: true });
    } catch (error) {
      throw storageError(place, error);
    }
  };
  const nameOf = (name: string): string => `${name} in ${place}`;
  return {
    name: place,
    async open(name) {
      try {
        const handle: FileHandle = await (await directory()).getFileHandle(name);
        return await PrivateFile.open(nameOf(name), handle);
      } catch (error) {
        if (isNamed(error, 'NotFoundError')) return undefined;
        throw storageError(nameOf(name), error);
      }
    },
    async begin(name, signal) {
      const unlock = await lock(`nearfield: ${name} in ${folder}`, signal);
      try {
        return await PrivateDraft.open(nameOf(name), name, await directory(), unlock);
      } catch (error) {
        unlock();
        throw storageError(nameOf(name), error);
      }
    },
    async roomBytes() {
      const { quota, usage } = await storage.estimate();
      return quota === undefined ? undefined : Math.max(0, quota - (usage ?? 0));
    },
    async list() {
      const entries: StoredEntry[] = [];
      for await (const handle of (await directory()).values()) {
        if (!isFile(handle)) continue;
        // One that another tab renames or removes meanwhile is none.
        const file = await handle.getFile().catch(() => undefined);
        if (file) entries.push(storedEntry(handle.name, file.size));
      }
      return entries;
    },
    async locate(name) {
      try {
        return await (await (await directory()).getFileHandle(name)).getFile();
      } catch (error) {
        if (isNamed(error, 'NotFoundError')) return undefined;
        throw storageError(nameOf(name), error);
      }
    },
    async remove(name) {
      const folderHandle = await directory();
      for (const each of [name, partialName(name)]) {
        try {
          await folderHandle.removeEntry(each);
        } catch (error) {
          if (isNamed(error, 'NotFoundError')) continue;
          if (!isNamed(error, 'NoModificationAllowedError')) throw storageError(nameOf(name), error);
          throw new NearfieldError('io', `${nameOf(name)} is in use; close what uses it, in other tabs too`, {
            cause: error,
          });
        }
      }
    },
  };
}

const isFile = (handle: FileSystemHandle): handle is FileSystemFileHandle => handle.kind === 'file';

/** Waits until no other tab has the lock; what it returns gives it back. */
async function lock(name: string, signal: AbortSignal | undefined): Promise<() => void> {
  throwIfAborted(signal);
  let unlock = (): void => {};
  const isOver = new Promise<void>((resolve) => {
    unlock = resolve;
  });
  await new Promise<void>((resolve, reject) => {
    const request = navigator.locks.request(name, signal ? { signal } : {}, () => {
      resolve();
      return isOver;
    });
    request.catch(reject);
  }).catch((error: unknown) => {
    throwIfAborted(signal);
    throw error;
  });
  return unlock;
}

async function accessOf(handle: FileHandle, mode: 'read-only' | 'readwrite'): Promise<SyncHandle> {
  if (!handle.createSyncAccessHandle) {
    throw new NearfieldError('unsupported', 'The private file system can only be used in a worker');
  }
  return handle.createSyncAccessHandle({ mode });
}

class PrivateFile implements StoredFile {
  /** Of the reading thread: the host's reads do not return before they are done. */
  readonly readsAtATime = 1;
  readonly name: string;
  readonly byteLength: number;
  readonly #handle: FileHandle;
  /** Undefined where another tab's handle excludes this one: then `#blob` is read. */
  #access: SyncHandle | undefined;
  readonly #blob: Blob;
  #closed = false;
  #replaced = 0;

  private constructor(name: string, handle: FileHandle, access: SyncHandle | undefined, blob: Blob) {
    this.name = name;
    this.byteLength = blob.size;
    this.#handle = handle;
    this.#access = access;
    this.#blob = blob;
  }

  static async open(name: string, handle: FileHandle): Promise<PrivateFile> {
    try {
      return new PrivateFile(name, handle, await readAccess(handle), await handle.getFile());
    } catch (error) {
      throw storageError(name, error);
    }
  }

  async readInto(offset: number, target: Uint8Array): Promise<void> {
    if (this.#closed) throw new NearfieldError('io', `${this.name} is closed`);
    let byteCount: number;
    try {
      byteCount = this.#access?.read(target, { at: offset }) ?? (await copyBlob(this.#blob, offset, target));
    } catch (error) {
      throw storageError(this.name, error);
    }
    if (byteCount === target.byteLength) return;
    throw new NearfieldError('bad-file', `${this.name} ends at byte ${offset + byteCount}; it has been cut`);
  }

  /** While a handle is open, nobody else can write. */
  stamp(): string | undefined {
    return this.#access && `${this.#replaced}`;
  }

  /** Who writes must be alone with the file. */
  async replace(offset: number, bytes: Uint8Array): Promise<void> {
    this.#replaced++;
    this.#access?.close();
    this.#access = undefined;
    try {
      const access = await accessOf(this.#handle, 'readwrite');
      try {
        access.write(bytes, { at: offset });
        access.flush();
      } finally {
        access.close();
      }
    } catch (error) {
      throw storageError(this.name, error);
    } finally {
      if (!this.#closed) this.#access = await readAccess(this.#handle);
    }
  }

  async handOver(): Promise<ThreadPlace> {
    await this.close();
    return { name: this.name, handle: this.#handle };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#access?.close();
    this.#access = undefined;
  }
}

/** In the thread that a file was handed over to. */
export function openPrivateFile({
  name,
  handle,
}: {
  readonly name: string;
  readonly handle: FileSystemFileHandle;
}): Promise<ThreadFile> {
  return PrivateFile.open(name, handle);
}

/** Undefined where another tab's handle excludes this one, and on a page, which has none. */
async function readAccess(handle: FileHandle): Promise<SyncHandle | undefined> {
  if (!handle.createSyncAccessHandle) return undefined;
  try {
    return await accessOf(handle, 'read-only');
  } catch (error) {
    if (isNamed(error, 'NoModificationAllowedError')) return undefined;
    throw error;
  }
}

async function copyBlob(blob: Blob, offset: number, target: Uint8Array): Promise<number> {
  const bytes = new Uint8Array(await blob.slice(offset, offset + target.byteLength).arrayBuffer());
  target.set(bytes);
  return bytes.byteLength;
}

class PrivateDraft implements StoredDraft {
  readonly name: string;
  readonly byteLength: number;
  readonly #fileName: string;
  readonly #folder: FileSystemDirectoryHandle;
  readonly #handle: FileHandle;
  readonly #access: SyncHandle;
  readonly #unlock: () => void;
  #isOpen = true;

  private constructor(
    name: string,
    fileName: string,
    folder: FileSystemDirectoryHandle,
    handle: FileHandle,
    access: SyncHandle,
    unlock: () => void,
  ) {
    this.name = name;
    this.byteLength = access.getSize();
    this.#fileName = fileName;
    this.#folder = folder;
    this.#handle = handle;
    this.#access = access;
    this.#unlock = unlock;
  }

  /** Under a lock that `unlock` ends. */
  static async open(
    name: string,
    fileName: string,
    folder: FileSystemDirectoryHandle,
    unlock: () => void,
  ): Promise<PrivateDraft> {
    const handle: FileHandle = await folder.getFileHandle(partialName(fileName), { create: true });
    return new PrivateDraft(name, fileName, folder, handle, await accessOf(handle, 'readwrite'), unlock);
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    try {
      const written = this.#access.write(bytes, { at: offset });
      if (written < bytes.byteLength) throw new DOMException('No more was written', 'QuotaExceededError');
    } catch (error) {
      throw storageError(this.name, error);
    }
  }

  async finish(): Promise<StoredFile> {
    try {
      this.#access.flush();
      this.#access.close();
      this.#isOpen = false;
      if (!this.#handle.move)
        throw new NearfieldError('unsupported', 'This browser cannot rename stored files');
      await this.#handle.move(this.#fileName);
      return await PrivateFile.open(this.name, this.#handle);
    } catch (error) {
      throw storageError(this.name, error);
    } finally {
      this.#unlock();
    }
  }

  async end({ keep }: { readonly keep: boolean }): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#access.close();
    if (!keep) await this.#folder.removeEntry(this.#handle.name).catch(() => {});
    this.#unlock();
  }
}

const isNamed = (error: unknown, name: string): boolean => error instanceof Error && error.name === name;

function storageError(name: string, error: unknown): NearfieldError {
  if (error instanceof NearfieldError) return error;
  if (isNamed(error, 'QuotaExceededError')) {
    return new NearfieldError(
      'io',
      `No room for ${name}: the browser's quota for this page is full; free some storage`,
      {
        cause: error,
      },
    );
  }
  const reason = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new NearfieldError('io', `The browser refused ${name} (${reason})`, { cause: error });
}
