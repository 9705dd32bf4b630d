/** The backend's WebAssembly memory and who has which part of it. */
import { NearfieldError } from '../../base/error.ts';

const pageBytes = 65536;
/** Memory grows at least by this much at a time. */
const growthPages = 64;
const alignmentBytes = 64;
/** A 32-bit memory ends here. */
export const memoryLimitBytes = 65536 * pageBytes;

interface Span {
  offset: number;
  byteLength: number;
}

/** First-fit allocation with coalescing; regions are few and long-lived. */
export class LinearMemory {
  readonly memory: WebAssembly.Memory;
  /** Sorted by offset, never adjacent. */
  readonly #free: Span[] = [];
  readonly #taken = new Map<number, number>();
  readonly #shared: boolean;
  #end: number;
  #bytes: Uint8Array;

  /** Everything below `reservedBytes` belongs to the control block and the kernels' constants. */
  constructor(reservedBytes: number, shared: boolean) {
    const initial = Math.ceil(reservedBytes / pageBytes);
    try {
      this.memory = new WebAssembly.Memory({ initial, maximum: memoryLimitBytes / pageBytes, shared });
    } catch (cause) {
      throw new NearfieldError(
        'out-of-budget',
        'The host refused the WebAssembly memory; close other tabs or programs',
        { cause },
      );
    }
    this.#shared = shared;
    this.#end = initial * pageBytes;
    this.#bytes = new Uint8Array(this.memory.buffer);
  }

  get bytes(): Uint8Array {
    if (this.#bytes.byteLength < this.#end) this.#bytes = new Uint8Array(this.memory.buffer);
    return this.#bytes;
  }

  view(offset: number, byteLength: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, offset, byteLength);
  }

  /** `read` fills bytes that it may hold for long. Views of unshared memory are lost when it grows: those get a copy. */
  async fill(offset: number, byteLength: number, read: (target: Uint8Array) => Promise<void>): Promise<void> {
    if (this.#shared) return read(this.view(offset, byteLength));
    const bytes = new Uint8Array(byteLength);
    await read(bytes);
    this.view(offset, byteLength).set(bytes);
  }

  /** Offset of free bytes, aligned to 64; what is in them is undefined. */
  allocate(byteLength: number, purpose: string): number {
    const size = Math.max(alignmentBytes, Math.ceil(byteLength / alignmentBytes) * alignmentBytes);
    let span = this.#free.find((candidate) => candidate.byteLength >= size);
    if (!span) {
      this.#grow(size, purpose);
      span = this.#free.findLast((candidate) => candidate.byteLength >= size);
    }
    if (!span) throw new NearfieldError('internal', 'Memory grew but has no room');
    const { offset } = span;
    span.offset += size;
    span.byteLength -= size;
    if (span.byteLength === 0) this.#free.splice(this.#free.indexOf(span), 1);
    this.#taken.set(offset, size);
    return offset;
  }

  release(offset: number): void {
    const byteLength = this.#taken.get(offset);
    if (byteLength === undefined)
      throw new NearfieldError('internal', 'Released memory that was not allocated');
    this.#taken.delete(offset);
    this.#addFree({ offset, byteLength });
  }

  #addFree(span: Span): void {
    const index = this.#free.findIndex((other) => other.offset > span.offset);
    const place = index === -1 ? this.#free.length : index;
    const [before, after] = [this.#free[place - 1], this.#free[place]];
    const joinsBefore = before !== undefined && before.offset + before.byteLength === span.offset;
    const joinsAfter = after !== undefined && span.offset + span.byteLength === after.offset;
    if (joinsBefore) {
      before.byteLength += span.byteLength;
      if (joinsAfter) {
        before.byteLength += after.byteLength;
        this.#free.splice(place, 1);
      }
    } else if (joinsAfter) {
      after.offset = span.offset;
      after.byteLength += span.byteLength;
    } else {
      this.#free.splice(place, 0, span);
    }
  }

  #grow(byteLength: number, purpose: string): void {
    const last = this.#free.at(-1);
    const atEnd = last && last.offset + last.byteLength === this.#end ? last.byteLength : 0;
    const pages = Math.ceil((byteLength - atEnd) / pageBytes);
    const most = (memoryLimitBytes - this.#end) / pageBytes;
    const asked = Math.min(Math.max(pages, growthPages), most);
    if (asked < pages) {
      throw new NearfieldError(
        'out-of-budget',
        `${purpose} needs ${byteLength} bytes, but a WebAssembly memory ends at 4 GiB and ${this.#end - atEnd} bytes are used; use a smaller model or context`,
      );
    }
    try {
      this.memory.grow(asked);
    } catch (cause) {
      throw new NearfieldError(
        'out-of-budget',
        `The host refused ${asked * pageBytes} more bytes for ${purpose}`,
        { cause },
      );
    }
    this.#addFree({ offset: this.#end, byteLength: asked * pageBytes });
    this.#end += asked * pageBytes;
  }
}
