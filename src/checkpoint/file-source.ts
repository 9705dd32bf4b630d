/** A local file as a source (Node). Reads go straight into the caller's memory, shared or not. */
import type { FileHandle } from 'node:fs/promises';
import { NearfieldError, throwIfAborted } from '../base/error.ts';
import { fileError } from '../base/file-error.ts';
import { nodeModule } from '../base/platform.ts';
import type { ByteSource } from '../checkpoint.ts';
import { checkRange } from './byte-range.ts';

/** One system call reads less than 2 GiB; small pieces also let an abort through between them. */
const pieceBytes = 32 * 1024 * 1024;

export async function openFileSource(path: string, signal?: AbortSignal): Promise<ByteSource> {
  throwIfAborted(signal);
  const fs = nodeModule('node:fs/promises');
  if (!fs)
    throw new NearfieldError('unsupported', `This host has no file system for ${path}; give a URL or a File`);
  try {
    // Asked before opening: opening a named pipe would wait for a writer.
    const status = await fs.stat(path);
    if (status.isDirectory()) {
      throw new NearfieldError('bad-argument', `${path} is a folder; give the model file inside it`);
    }
    if (!status.isFile()) throw new NearfieldError('bad-argument', `${path} is not a regular file`);
    const handle = await fs.open(path, 'r');
    try {
      return new FileSource(path, (await handle.stat()).size, handle);
    } catch (error) {
      await handle.close();
      throw error;
    }
  } catch (error) {
    throw fileError(path, error);
  }
}

class FileSource implements ByteSource {
  readonly name: string;
  readonly byteLength: number;
  readonly #handle: FileHandle;

  constructor(name: string, byteLength: number, handle: FileHandle) {
    this.name = name;
    this.byteLength = byteLength;
    this.#handle = handle;
  }

  async readInto(offset: number, target: Uint8Array, signal?: AbortSignal): Promise<void> {
    checkRange(this, offset, target.byteLength);
    for (let done = 0; done < target.byteLength; ) {
      throwIfAborted(signal);
      const wanted = Math.min(pieceBytes, target.byteLength - done);
      const got = await this.#readPiece(target, done, wanted, offset + done);
      if (got === 0) {
        throw new NearfieldError(
          'bad-file',
          `${this.name} ends at byte ${offset + done} but had ${this.byteLength} bytes when opened; ` +
            'it was cut while being read, open it again once it is whole',
        );
      }
      done += got;
    }
    throwIfAborted(signal);
  }

  async #readPiece(target: Uint8Array, at: number, length: number, position: number): Promise<number> {
    try {
      return (await this.#handle.read(target, at, length, position)).bytesRead;
    } catch (error) {
      throw fileError(this.name, error);
    }
  }

  async stamp(): Promise<string> {
    try {
      const { size, mtimeNs } = await this.#handle.stat({ bigint: true });
      return `${size} bytes of ${mtimeNs}`;
    } catch (error) {
      throw fileError(this.name, error);
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}
