/** Reads a header front to back through a window that grows, so that few and large reads reach the source. */
import { NearfieldError } from '../base/error.ts';
import type { ByteSource } from '../checkpoint.ts';
import { allocateBytes } from './byte-range.ts';

/** Windows double from the first size to the last: a short header costs one small read, a long one few. */
const firstWindowBytes = 1024 * 1024;
const lastWindowBytes = 16 * 1024 * 1024;

/** Published headers stay below 32 MiB; a bound keeps what a hostile one makes of itself in memory bounded. */
const headerLimitBytes = 128 * 1024 * 1024;

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

export class HeaderReader {
  readonly #source: ByteSource;
  readonly #signal: AbortSignal | undefined;
  readonly #endOffset: number;
  #windowOffset = 0;
  #nextWindowBytes = firstWindowBytes;
  /** Bytes of the file from `#windowOffset` on. A caller may overwrite what lies before `cursor`. */
  window: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  view: DataView<ArrayBuffer> = new DataView(this.window.buffer);
  /** Index in `window` of the next byte. */
  cursor = 0;

  constructor(source: ByteSource, signal?: AbortSignal) {
    this.#source = source;
    this.#signal = signal;
    this.#endOffset = Math.min(source.byteLength, headerLimitBytes);
  }

  /** Offset in the file of the next byte. */
  get offset(): number {
    return this.#windowOffset + this.cursor;
  }

  /** Throws unless the header may have `byteCount` more bytes; `what` needs them. To be asked before allocating. */
  expect(byteCount: number, what: string): void {
    const left = this.#endOffset - this.offset;
    if (byteCount <= left) return;
    const { name, byteLength } = this.#source;
    if (byteCount <= byteLength - this.offset) {
      const limit = `${headerLimitBytes / 2 ** 20} MiB`;
      throw new NearfieldError(
        'bad-file',
        `${name}: ${what} does not end within the first ${limit}; the file is corrupt`,
      );
    }
    throw new NearfieldError(
      'bad-file',
      `${name}: ${what} needs ${byteCount} bytes at offset ${this.offset}, the file has ${left} left; ` +
        'it is cut short or corrupt, get it again',
    );
  }

  /** Brings at least `byteCount` bytes from the cursor on into the window. */
  async fill(byteCount: number, what: string): Promise<void> {
    const held = this.window.byteLength - this.cursor;
    if (byteCount <= held) return;
    this.expect(byteCount, what);
    const heldEnd = this.#windowOffset + this.window.byteLength;
    const wanted = Math.max(byteCount - held, this.#nextWindowBytes);
    const added = Math.min(wanted, this.#endOffset - heldEnd);
    const next = allocateBytes(held + added, `the header of ${this.#source.name}`);
    next.set(this.window.subarray(this.cursor));
    await this.#source.readInto(heldEnd, next.subarray(held), this.#signal);
    this.#windowOffset += this.cursor;
    this.cursor = 0;
    this.window = next;
    this.view = new DataView(next.buffer);
    this.#nextWindowBytes = Math.min(2 * this.#nextWindowBytes, lastWindowBytes);
  }

  async uint32(what: string): Promise<number> {
    await this.fill(4, what);
    const value = this.view.getUint32(this.cursor, true);
    this.cursor += 4;
    return value;
  }

  /** A count, length or offset. Beyond 2^53 it is rounded, which no check against a file's size can miss. */
  async uint64(what: string): Promise<number> {
    await this.fill(8, what);
    const value = peekUint64(this.view, this.cursor);
    this.cursor += 8;
    return value;
  }

  /** A length and that many bytes of UTF-8; what is not UTF-8 becomes U+FFFD. */
  async string(what: string, longest = Number.POSITIVE_INFINITY): Promise<string> {
    const byteCount = await this.uint64(what);
    if (byteCount > longest) {
      throw new NearfieldError(
        'bad-file',
        `${this.#source.name}: ${what} has ${byteCount} bytes, more than the ${longest} allowed; the file is corrupt`,
      );
    }
    await this.fill(byteCount, what);
    const bytes = this.window.subarray(this.cursor, this.cursor + byteCount);
    this.cursor += byteCount;
    return decoder.decode(bytes);
  }

  /** The next `byteCount` bytes in memory of their own; what the window lacks goes there without a detour. */
  async bytes(byteCount: number, what: string): Promise<Uint8Array<ArrayBuffer>> {
    this.expect(byteCount, what);
    const bytes = allocateBytes(byteCount, what);
    const held = this.window.subarray(this.cursor, this.cursor + byteCount);
    bytes.set(held);
    this.cursor += held.byteLength;
    if (held.byteLength < byteCount) {
      await this.#source.readInto(this.offset, bytes.subarray(held.byteLength), this.#signal);
      this.#windowOffset = this.offset + byteCount - held.byteLength;
      this.cursor = 0;
      this.window = new Uint8Array(0);
      this.view = new DataView(this.window.buffer);
    }
    return bytes;
  }
}

/** Little-endian; exact up to 2^53. */
export function peekUint64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}
