/**
 * Stores: files of the engine's own that outlive it, packed weights and downloads. In Node they lie in a folder, in a
 * browser's worker in the private file system of the page's origin. Losing one costs time, never a result.
 */
export { openStore, type StoreOptions } from './store/open.ts';
export { ReadingThread, type ReadPiece } from './store/reading-thread.ts';

/** Names are made of `a-z`, `0-9`, `.` and `-`. */
export interface Store {
  /** For messages: a folder, or what stands for it. */
  readonly name: string;
  /** A finished file; undefined where there is none of that name. Several may read one at the same time. */
  open(name: string): Promise<StoredFile | undefined>;
  /**
   * Begins a file, or goes on with one that was begun and not finished. Where another process or tab writes the same file,
   * both write (the same bytes, then) or this one waits until the other has ended; then it may be finished already.
   */
  begin(name: string, signal?: AbortSignal): Promise<StoredDraft>;
  /** Bytes that may still be written; undefined where the host does not tell. */
  roomBytes(): Promise<number | undefined>;
  /** All files, finished or begun. */
  list(): Promise<readonly StoredEntry[]>;
  /** What `openCheckpoint` takes for a finished file, on a page, too: a path or a Blob. Undefined where there is none. */
  locate(name: string): Promise<string | Blob | undefined>;
  /** Removes the file of that name, finished or begun, where there is one. Rejects with `io` while it is in use. */
  remove(name: string): Promise<void>;
}

export interface StoredEntry {
  readonly name: string;
  readonly byteLength: number;
  /** False for one that was begun and not finished. */
  readonly isWhole: boolean;
}

export interface StoredFile {
  /** For messages. */
  readonly name: string;
  readonly byteLength: number;
  /**
   * Fills all of `target`, which may view a SharedArrayBuffer. Rejects with `bad-file` where the file has become shorter,
   * `io` where the host refuses.
   */
  readInto(offset: number, target: Uint8Array): Promise<void>;
  /** Puts other bytes in the place of those at `offset`; rejects with `io` where the host refuses, as while others read. */
  replace(offset: number, bytes: Uint8Array): Promise<void>;
  /** What another thread reads it with; here nothing but `close` may follow, once that thread has ended. */
  handOver(): Promise<ThreadPlace>;
  /** Harmless when repeated. */
  close(): Promise<void>;
}

/** A stored file as it is posted to a thread. */
export type ThreadPlace =
  | {
      readonly name: string;
      readonly descriptor: number;
      /** Of the same file, for reads that the system keeps no copy of; where it has such. */
      readonly directDescriptor: number | undefined;
    }
  | { readonly name: string; readonly handle: FileSystemFileHandle };

/** A file that is being written, under another name until it is whole. */
export interface StoredDraft {
  /** For messages. */
  readonly name: string;
  /** Bytes that are there from before. */
  readonly byteLength: number;
  /** Rejects with `io` where there is no room, or the browser's quota is full. The bytes may be reused afterwards. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** Gives the file its name and opens it; nothing may follow. */
  finish(): Promise<StoredFile>;
  /** Ends without a file. What was written stays for a later `begin` where `keep` says so. Harmless after `finish`. */
  end(options: { readonly keep: boolean }): Promise<void>;
}
