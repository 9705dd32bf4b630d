/** A Blob, or a File the user picked, as a source. */
import { NearfieldError, throwIfAborted } from '../base/error.ts';
import type { ByteSource } from '../checkpoint.ts';
import { checkRange } from './byte-range.ts';

/** Bytes copied at a time: bounds both the extra memory and the delay of an abort. */
const pieceBytes = 8 * 1024 * 1024;

export function blobSource(blob: Blob): ByteSource {
  const name = 'name' in blob && typeof blob.name === 'string' && blob.name !== '' ? blob.name : 'Blob';
  const byteLength = blob.size;
  return {
    name,
    byteLength,
    async readInto(offset, target, signal) {
      checkRange({ name, byteLength }, offset, target.byteLength);
      for (let done = 0; done < target.byteLength; done += pieceBytes) {
        throwIfAborted(signal);
        const end = Math.min(done + pieceBytes, target.byteLength);
        target.set(new Uint8Array(await readSlice(name, blob, offset + done, offset + end)), done);
      }
      throwIfAborted(signal);
    },
    async stamp() {
      // Of a File; reading one that changed since it was chosen fails.
      return 'lastModified' in blob ? `${byteLength} bytes of ${blob.lastModified}` : undefined;
    },
    async close() {},
  };
}

async function readSlice(name: string, blob: Blob, start: number, end: number): Promise<ArrayBuffer> {
  let bytes: ArrayBuffer;
  try {
    bytes = await blob.slice(start, end).arrayBuffer();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new NearfieldError('io', `${name} can no longer be read (${reason}); choose the file again`, {
      cause,
    });
  }
  if (bytes.byteLength === end - start) return bytes;
  throw new NearfieldError('bad-file', `${name} became shorter while it was read; choose the file again`);
}
