/** A Blob, or a File the user picked, as a source. */
import { NearfieldError, throwIfAborted } from '../base/error.ts';
import type { ByteSource } from '../checkpoint.ts';
import { checkRange } from './byte-range.ts';
import { ByteStream } from './byte-stream.ts';

export function blobSource(blob: Blob): ByteSource {
  return new BlobSource(blob);
}

/** A part of the Blob that is being read, and where in it the next byte lies. */
interface Reading {
  readonly stream: ByteStream;
  position: number;
}

class BlobSource implements ByteSource {
  readonly name: string;
  readonly byteLength: number;
  readonly #blob: Blob;
  /** What is left for somebody who reads on: a new reading costs more than a megabyte of one that goes on. */
  #idle: Reading | undefined;

  constructor(blob: Blob) {
    this.name = 'name' in blob && typeof blob.name === 'string' && blob.name !== '' ? blob.name : 'Blob';
    this.byteLength = blob.size;
    this.#blob = blob;
  }

  async readInto(
    offset: number,
    target: Uint8Array,
    signal?: AbortSignal,
    readsOnTo = offset + target.byteLength,
  ): Promise<void> {
    throwIfAborted(signal);
    checkRange(this, offset, target.byteLength);
    const end = Math.min(readsOnTo, this.byteLength);
    const reading = await this.#readingFrom(offset, end);
    let keeps = false;
    try {
      await this.#fill(reading, target, signal);
      keeps = reading.position < end && !this.#idle;
    } finally {
      if (keeps) this.#idle = reading;
      else await reading.stream.cancel();
    }
  }

  async #readingFrom(offset: number, end: number): Promise<Reading> {
    const idle = this.#idle;
    this.#idle = undefined;
    if (idle?.position === offset) return idle;
    await idle?.stream.cancel();
    return { stream: new ByteStream(this.#blob.slice(offset, end).stream()), position: offset };
  }

  async #fill(reading: Reading, target: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    for (let done = 0; done < target.byteLength; ) {
      const byteCount = await this.#take(reading, target.subarray(done));
      throwIfAborted(signal);
      done += byteCount;
      reading.position += byteCount;
      if (byteCount > 0) continue;
      throw new NearfieldError(
        'bad-file',
        `${this.name} became shorter while it was read; choose the file again`,
      );
    }
  }

  async #take({ stream }: Reading, target: Uint8Array): Promise<number> {
    try {
      return await stream.take(target);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new NearfieldError(
        'io',
        `${this.name} can no longer be read (${reason}); choose the file again`,
        {
          cause,
        },
      );
    }
  }

  async stamp(): Promise<string | undefined> {
    // Of a File; reading one that changed since it was chosen fails.
    return 'lastModified' in this.#blob
      ? `${this.byteLength} bytes of ${this.#blob.lastModified}`
      : undefined;
  }

  async close(): Promise<void> {
    const idle = this.#idle;
    this.#idle = undefined;
    await idle?.stream.cancel();
  }
}
