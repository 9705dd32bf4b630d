/** Where a file that is being written goes: to disk under its name only once whole, or into memory. */
import type { FileHandle } from 'node:fs/promises';
import { NearfieldError } from '../base/error.ts';
import { fileError } from '../base/file-error.ts';
import { nodeModule, onProcessExit } from '../base/platform.ts';

export interface ByteSink {
  /** For messages. */
  readonly name: string;
  /** Appends; the bytes may be reused once the promise resolves. Await each before the next. */
  write(bytes: Uint8Array): Promise<void>;
  /** Makes the file appear. Nothing may follow. */
  finish(): Promise<void>;
  /** Leaves no trace of what was written. Harmless after `finish` or a second time. */
  discard(): Promise<void>;
}

export interface MemorySink extends ByteSink {
  /** All that was written. */
  bytes(): Uint8Array<ArrayBuffer>;
}

export function memorySink(name = 'memory'): MemorySink {
  const pieces: Uint8Array[] = [];
  return {
    name,
    async write(bytes) {
      pieces.push(new Uint8Array(bytes));
    },
    async finish() {},
    async discard() {
      pieces.length = 0;
    },
    bytes() {
      const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.byteLength, 0));
      let at = 0;
      for (const piece of pieces) {
        whole.set(piece, at);
        at += piece.byteLength;
      }
      return whole;
    },
  };
}

/**
 * A new file, or in place of the file of that name or behind that link (Node). Until `finish` it has another name in the
 * same folder. Throws `bad-argument` for what is no file: a device that is renamed over is gone for the whole system.
 */
export async function fileSink(path: string): Promise<ByteSink> {
  const fs = nodeModule('node:fs/promises');
  if (!fs) throw new NearfieldError('unsupported', `This host has no file system to write ${path} to`);
  try {
    const present = await fs.stat(path).catch(() => undefined);
    if (present && !present.isFile()) {
      const what = present.isDirectory() ? 'a folder' : 'a device or a pipe';
      throw new NearfieldError('bad-argument', `${path} is ${what}; give the name of a file`);
    }
    const target = await fs.realpath(path).catch(() => path);
    const temporaryPath = `${target}.${crypto.randomUUID().slice(0, 8)}.partial`;
    return new FileSink({ name: path, target, temporaryPath }, await fs.open(temporaryPath, 'wx'), fs);
  } catch (error) {
    throw fileError(path, error);
  }
}

interface SinkPaths {
  readonly name: string;
  /** `name` with links followed. */
  readonly target: string;
  readonly temporaryPath: string;
}

class FileSink implements ByteSink {
  readonly name: string;
  readonly #target: string;
  readonly #temporaryPath: string;
  readonly #handle: FileHandle;
  readonly #fs: typeof import('node:fs/promises');
  readonly #callOff: () => void;
  #open = true;

  constructor(
    { name, target, temporaryPath }: SinkPaths,
    handle: FileHandle,
    fs: typeof import('node:fs/promises'),
  ) {
    this.name = name;
    this.#target = target;
    this.#temporaryPath = temporaryPath;
    this.#handle = handle;
    this.#fs = fs;
    // A second Ctrl-C ends the process in the middle.
    this.#callOff = onProcessExit(() => nodeModule('node:fs')?.rmSync(temporaryPath, { force: true }));
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#attempt(async () => {
      for (let done = 0; done < bytes.byteLength; ) {
        done += (await this.#handle.write(bytes, done)).bytesWritten;
      }
    });
  }

  async finish(): Promise<void> {
    await this.#attempt(async () => {
      // Else a power cut could leave the final name on a file without its bytes.
      await this.#handle.sync();
      await this.#handle.close();
      await this.#fs.rename(this.#temporaryPath, this.#target);
      this.#close();
    });
  }

  async discard(): Promise<void> {
    if (!this.#open) return;
    this.#close();
    await this.#handle.close().catch(() => {});
    await this.#fs.rm(this.#temporaryPath, { force: true }).catch(() => {});
  }

  #close(): void {
    this.#open = false;
    this.#callOff();
  }

  async #attempt(work: () => Promise<void>): Promise<void> {
    if (!this.#open) throw new NearfieldError('internal', `${this.name} was written to after its end`);
    try {
      await work();
    } catch (error) {
      await this.discard();
      throw fileError(this.name, error);
    }
  }
}
