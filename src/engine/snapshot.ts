/**
 * A session as bytes: "NFS1", the length of a JSON header (uint32, little-endian), the header {key, tokens}, then the
 * cache's pages as the backend holds them.
 */
import { NearfieldError } from '../base/error.ts';

const magic = new TextEncoder().encode('NFS1');

export interface SnapshotHeader {
  /** Identity of model and cache layout. */
  readonly key: string;
  /** Ids of the timeline, the last of them not in the cache. */
  readonly tokens: readonly number[];
}

export function encodeSnapshot(
  header: SnapshotHeader,
  pages: readonly Uint8Array[],
): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const start = magic.length + 4 + text.length;
  const pageBytes = pages[0]?.length ?? 0;
  const bytes = new Uint8Array(start + pages.length * pageBytes);
  bytes.set(magic);
  new DataView(bytes.buffer).setUint32(magic.length, text.length, true);
  bytes.set(text, magic.length + 4);
  pages.forEach((page, index) => {
    bytes.set(page, start + index * pageBytes);
  });
  return bytes;
}

/** Throws `bad-file` for bytes that are no snapshot, or one of another model. */
export function decodeSnapshot(
  bytes: Uint8Array,
  key: string,
): { header: SnapshotHeader; pages: Uint8Array } {
  const fail = (what: string): never => {
    throw new NearfieldError('bad-file', `The saved session cannot be restored: ${what}`);
  };
  if (!magic.every((byte, index) => bytes[index] === byte)) fail('it is not a session saved by Nearfield');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = bytes.length < 8 ? 0 : view.getUint32(4, true);
  if (length === 0 || 8 + length > bytes.length) fail('it is cut short');
  const header = parseHeader(bytes.subarray(8, 8 + length)) ?? fail('its header is damaged');
  if (header.key !== key) fail('it belongs to another model, backend, cache type or context length');
  return { header, pages: bytes.subarray(8 + length) };
}

function parseHeader(bytes: Uint8Array): SnapshotHeader | undefined {
  try {
    // Copied: a decoder refuses views of shared memory.
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes.slice()));
    if (typeof value !== 'object' || value === null || !('key' in value) || !('tokens' in value))
      return undefined;
    const { key, tokens } = value;
    if (typeof key !== 'string' || !Array.isArray(tokens)) return undefined;
    return tokens.every((id) => Number.isInteger(id) && id >= 0) ? { key, tokens } : undefined;
  } catch {
    return undefined;
  }
}
