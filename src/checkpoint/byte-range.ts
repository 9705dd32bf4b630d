/** Checks that every source and directory makes alike. */

import { NearfieldError } from '../base/error.ts';
import type { ByteSource } from '../checkpoint.ts';

/** Throws unless `byteCount` bytes from `offset` lie inside the source. */
export function checkRange(
  source: Pick<ByteSource, 'name' | 'byteLength'>,
  offset: number,
  byteCount: number,
): void {
  if (!Number.isSafeInteger(offset) || offset < 0) {
    throw new NearfieldError('bad-argument', `${source.name}: ${offset} is not a byte offset`);
  }
  if (byteCount > source.byteLength - offset) {
    throw new NearfieldError(
      'bad-file',
      `${source.name} has ${source.byteLength} bytes; ${byteCount} bytes at offset ${offset} were asked for`,
    );
  }
}

/** A zeroed buffer; where the host refuses the memory, `out-of-budget` naming what it was for. */
export function allocateBytes(byteLength: number, purpose: string): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(byteLength);
  } catch (cause) {
    throw new NearfieldError('out-of-budget', `No memory for the ${byteLength} bytes of ${purpose}`, {
      cause,
    });
  }
}
