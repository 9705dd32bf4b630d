/** The backend's WebAssembly memory and who has which part of it. */
import { collect } from '../../base/collect.ts';
import { NearfieldError } from '../../base/error.ts';
import { printBytes } from '../../base/print-bytes.ts';

const pageBytes = 65536;
/** Memory grows at least by this much at a time. */
const growthPages = 64;
const alignmentBytes = 64;
/** Staging of the weights that are packed at a time, tapes and tables, and what is lost between regions. */
const passingBytes = 48 << 20;
/** A 32-bit memory has one page more; without it the end of a region is never 2^32, which kernels would take for 0. */
export const memoryLimitBytes = 65535 * pageBytes;

interface Span {
  offset: number;
  byteLength: number;
}

/** First-fit allocation with coalescing; regions are few and long-lived. */
export class LinearMemory {
  /** Sorted by offset, never adjacent. */
  readonly #free: Span[] = [];
  readonly #taken = new Map<number, number>();
  readonly #shared: boolean;
  readonly #limitBytes: number;
  readonly #reservedBytes: number;
  /** Undefined once closed. */
  #memory: WebAssembly.Memory | undefined;
  #end: number;
  /** What lies from here on has never been given out. */
  #fresh: number;
  #bytes: Uint8Array;

  /** Everything below `reservedBytes` belongs to the control block and the kernels' constants. */
  constructor(reservedBytes: number, shared: boolean, limitBytes: number = memoryLimitBytes) {
    const initial = Math.ceil(reservedBytes / pageBytes);
    const maximum = Math.max(initial, Math.floor(limitBytes / pageBytes));
    try {
      this.#memory = new WebAssembly.Memory({ initial, maximum, shared });
    } catch (cause) {
      throw new NearfieldError(
        'out-of-budget',
        'The host refused the WebAssembly memory; close other tabs or programs',
        { cause },
      );
    }
    this.#shared = shared;
    this.#limitBytes = maximum * pageBytes;
    this.#reservedBytes = reservedBytes;
    this.#end = initial * pageBytes;
    this.#fresh = this.#end;
    this.#bytes = new Uint8Array(this.#memory.buffer);
  }

  /** Bytes that a model may fill: all but what is reserved, and what weights pass through while they are packed. */
  get roomBytes(): number {
    return this.#limitBytes - this.#reservedBytes - Math.min(passingBytes, this.#limitBytes / 4);
  }

  get memory(): WebAssembly.Memory {
    if (!this.#memory) throw new NearfieldError('backend', 'The backend is closed');
    return this.#memory;
  }

  get bytes(): Uint8Array {
    const { memory } = this;
    if (this.#bytes.byteLength < this.#end) this.#bytes = new Uint8Array(memory.buffer);
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
    const offset = this.freeOffset(byteLength, 0);
    this.allocateAt(offset, byteLength, purpose);
    return offset;
  }

  /** The lowest offset from `from` on, a multiple of 64, where so many bytes are free or would be if the memory grew. */
  freeOffset(byteLength: number, from: number): number {
    const size = sizeOf(byteLength);
    const inside = this.#free.find((span) => end(span) - Math.max(span.offset, from) >= size);
    const last = this.#free.at(-1);
    const tail = last && end(last) === this.#end ? last.offset : this.#end;
    return Math.max(inside?.offset ?? tail, from);
  }

  /** Takes the bytes at an offset that `freeOffset` gave. */
  allocateAt(offset: number, byteLength: number, purpose: string): void {
    const size = sizeOf(byteLength);
    if (offset + size > this.#end) this.#growTo(offset + size, byteLength, purpose);
    const index = this.#free.findIndex((span) => span.offset <= offset && end(span) >= offset + size);
    const span = this.#free[index];
    if (!span) throw new NearfieldError('internal', `${purpose} is put where there is no room`);
    const parts = [
      { offset: span.offset, byteLength: offset - span.offset },
      { offset: offset + size, byteLength: end(span) - offset - size },
    ];
    this.#free.splice(index, 1, ...parts.filter((part) => part.byteLength > 0));
    this.#taken.set(offset, size);
    this.#fresh = Math.max(this.#fresh, offset + size);
  }

  /** As `allocateAt`; the bytes are zero. What was never given out is zero without being touched, and costs nothing so far. */
  allocateZerosAt(offset: number, byteLength: number, purpose: string): void {
    const stale = Math.min(this.#fresh - offset, byteLength);
    this.allocateAt(offset, byteLength, purpose);
    if (stale > 0) this.view(offset, stale).fill(0);
  }

  release(offset: number): void {
    const byteLength = this.#taken.get(offset);
    if (byteLength === undefined)
      throw new NearfieldError('internal', 'Released memory that was not allocated');
    this.#taken.delete(offset);
    this.#addFree({ offset, byteLength });
  }

  /** Frees the bytes, even while somebody holds this object. Harmless when repeated. */
  async close(): Promise<void> {
    const byteLength = this.#end;
    this.#memory = undefined;
    this.#bytes = new Uint8Array(0);
    this.#free.length = 0;
    this.#end = 0;
    await collect(byteLength);
  }

  #addFree(span: Span): void {
    const index = this.#free.findIndex((other) => other.offset > span.offset);
    const place = index === -1 ? this.#free.length : index;
    const [before, after] = [this.#free[place - 1], this.#free[place]];
    const joinsBefore = before !== undefined && end(before) === span.offset;
    const joinsAfter = after !== undefined && end(span) === after.offset;
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

  #growTo(wantedEnd: number, byteLength: number, purpose: string): void {
    const pages = Math.ceil((wantedEnd - this.#end) / pageBytes);
    const most = (this.#limitBytes - this.#end) / pageBytes;
    const asked = Math.min(Math.max(pages, growthPages), most);
    if (asked < pages) {
      throw new NearfieldError(
        'out-of-budget',
        `${purpose} needs ${byteLength} bytes, but a WebAssembly memory ends at ${printBytes(this.#limitBytes)} and ${wantedEnd - byteLength} bytes are used; use a smaller model or context`,
      );
    }
    const { memory } = this;
    try {
      memory.grow(asked);
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

const end = (span: Span): number => span.offset + span.byteLength;

const sizeOf = (byteLength: number): number =>
  Math.max(alignmentBytes, Math.ceil(byteLength / alignmentBytes) * alignmentBytes);
