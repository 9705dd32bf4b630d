/** A stream of bytes, read in order, as much at a time as there is room for. */

/** Bytes are copied through so much: a buffer that stays in the processor's cache. */
const bufferBytes = 64 * 1024;

type Bytes = Uint8Array<ArrayBuffer>;
const nothing: Bytes = new Uint8Array(0);

export class ByteStream {
  readonly #next: () => Promise<Bytes | undefined>;
  readonly #cancel: () => Promise<void>;
  /** Of the last piece that came, what nobody has taken yet. */
  #rest = nothing;

  constructor(stream: ReadableStream<Bytes> | null) {
    const { next, cancel } = stream
      ? openReader(stream)
      : { next: async () => undefined, cancel: async () => {} };
    this.#next = next;
    this.#cancel = cancel;
  }

  /** Puts what comes next at the beginning of `target`; how many bytes, 0 at the end of the stream. */
  async take(target: Uint8Array): Promise<number> {
    if (this.#rest.byteLength === 0) this.#rest = (await this.#next()) ?? nothing;
    const part = this.#rest.subarray(0, target.byteLength);
    target.set(part);
    this.#rest = this.#rest.subarray(part.byteLength);
    return part.byteLength;
  }

  /** Harmless when repeated. */
  async cancel(): Promise<void> {
    this.#rest = nothing;
    await this.#cancel().catch(() => {});
  }
}

/** Pieces are valid until the next is asked for. Hosts that cannot fill a buffer of the reader's give pieces of their own. */
function openReader(stream: ReadableStream<Bytes>): {
  readonly next: () => Promise<Bytes | undefined>;
  readonly cancel: () => Promise<void>;
} {
  let buffer = new ArrayBuffer(bufferBytes);
  try {
    const reader = stream.getReader({ mode: 'byob' });
    const next = async () => {
      const { value } = await reader.read(new Uint8Array(buffer));
      if (!value || value.byteLength === 0) return undefined;
      buffer = value.buffer;
      return value;
    };
    return { next, cancel: () => reader.cancel() };
  } catch {
    const reader = stream.getReader();
    return { next: async () => (await reader.read()).value, cancel: () => reader.cancel() };
  }
}
