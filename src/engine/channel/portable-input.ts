/** A model as it can be sent to the worker: addresses as text, absolute, because the worker's own base is another. */
import { NearfieldError } from '../../base/error.ts';
import { baseAddress } from '../../base/platform.ts';
import type { CheckpointFile } from '../../checkpoint.ts';
import type { ModelInput } from '../../engine.ts';

/** Throws `bad-argument` for a bad address, `unsupported` for a source of the caller's own. */
export function portableInput(input: ModelInput): ModelInput {
  return isList(input) ? input.map(portableFile) : portableFile(input);
}

const isList = (input: ModelInput): input is readonly CheckpointFile[] => Array.isArray(input);

function portableFile(file: CheckpointFile): CheckpointFile {
  if (file instanceof URL) return file.href;
  if (typeof file === 'string') return absolute(file);
  if (file instanceof Uint8Array) return ownBytes(file);
  if (typeof file === 'object' && file !== null && 'readInto' in file) {
    throw new NearfieldError(
      'unsupported',
      'A page cannot load from a ByteSource of its own; give a URL, Blob or Uint8Array, or load in a worker of yours',
    );
  }
  return file;
}

/** In Node a path stays what it is. */
function absolute(address: string): string {
  const base = baseAddress();
  if (base === undefined) return address;
  try {
    return new URL(address, base).href;
  } catch (cause) {
    throw new NearfieldError('bad-argument', `${address} is not a valid address`, { cause });
  }
}

/** A view is cloned with the whole buffer under it; a part of a buffer is copied out first. */
export function ownBytes(bytes: Uint8Array): Uint8Array {
  const whole = bytes.byteLength === bytes.buffer.byteLength;
  return whole || !(bytes.buffer instanceof ArrayBuffer) ? bytes : bytes.slice();
}
