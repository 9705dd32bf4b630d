/** Bytes already in memory as a source. */

import { throwIfAborted } from '../base/error.ts';
import type { ByteSource } from '../checkpoint.ts';
import { checkRange } from './byte-range.ts';

/** Views `bytes`: the caller must not change them while the source is open. */
export function memorySource(bytes: Uint8Array, name = 'memory'): ByteSource {
  const { byteLength } = bytes;
  return {
    name,
    byteLength,
    async readInto(offset, target, signal) {
      throwIfAborted(signal);
      checkRange({ name, byteLength }, offset, target.byteLength);
      target.set(bytes.subarray(offset, offset + target.byteLength));
    },
    async close() {},
  };
}
