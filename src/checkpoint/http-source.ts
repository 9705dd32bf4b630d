/** A file behind HTTP as a source: byte ranges, checked and retried; small files also from servers without ranges. */
import { NearfieldError, throwIfAborted } from '../base/error.ts';
import type { ByteSource } from '../checkpoint.ts';
import { checkRange } from './byte-range.ts';
import { type Body, TransientFailure } from './http-body.ts';
import { HttpClient, type HttpOptions } from './http-client.ts';
import { memorySource } from './memory-source.ts';

/** The first request learns the size and brings this much of the file, which is most or all of a header. */
const firstRangeBytes = 1024 * 1024;
/** A header longer than that is read on to and kept up to here, since what follows it begins in its last piece. */
const longestHeadBytes = 32 * 1024 * 1024;
/** A server without ranges is good enough for files below this: they are kept in memory. */
const wholeFileLimitBytes = 64 * 1024 * 1024;
/** Bytes that are read and dropped rather than asked around: padding, a small tensor that is not wanted. */
const longestGapBytes = 256 * 1024;

export async function openHttpSource(
  url: URL,
  options: HttpOptions = {},
  signal?: AbortSignal,
): Promise<ByteSource> {
  const client = new HttpClient(url, options);
  return client.retry(signal, async () => {
    const body = await client.get(0, options.readsOn ? undefined : firstRangeBytes - 1, signal);
    try {
      return await sourceOf(client, body, options, signal);
    } catch (error) {
      await body.cancel();
      throw error;
    }
  });
}

/** `body` answers the first request. */
async function sourceOf(
  client: HttpClient,
  body: Body,
  { readsOn = false, idleMs = 2000 }: HttpOptions,
  signal: AbortSignal | undefined,
): Promise<ByteSource> {
  if (body.status !== 206) {
    const whole = body.status === 416 ? new Uint8Array(0) : await readWhole(client.name, body);
    await body.cancel();
    return memorySource(whole, client.name);
  }
  const byteLength = body.range?.total ?? (await client.size(signal));
  if (byteLength === undefined) {
    throw new NearfieldError(
      'io',
      `${client.name}: the server does not tell the file's size; expose Content-Range to this page, or download the file and give its path`,
    );
  }
  checkBodyRange(client.name, body, 0, byteLength);
  const head = new Uint8Array(Math.min(firstRangeBytes, byteLength));
  if ((await body.readInto(head)) < head.byteLength) throw new TransientFailure('the answer was cut short');
  const source = new HttpSource(client, byteLength, body.entityTag, head, idleMs);
  if (readsOn && head.byteLength < byteLength) source.keep({ body, position: head.byteLength });
  else await body.cancel();
  return source;
}

/** An answer that is being read, and where in the file. */
interface Stream {
  readonly body: Body;
  position: number;
}

class HttpSource implements ByteSource {
  readonly isRemote = true;
  readonly name: string;
  readonly byteLength: number;
  readonly #client: HttpClient;
  readonly #entityTag: string | undefined;
  readonly #idleMs: number;
  /** The file's beginning, until somebody who reads on is past it. */
  #head: Uint8Array | undefined;
  /** What is left of an answer to somebody who reads on; nobody reads from it now. */
  #idle: Stream | undefined;
  #idleSinceMs = 0;
  /** Set anew only when it has run out. */
  #idleTimer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(
    client: HttpClient,
    byteLength: number,
    entityTag: string | undefined,
    head: Uint8Array,
    idleMs: number,
  ) {
    this.name = client.name;
    this.byteLength = byteLength;
    this.#client = client;
    this.#entityTag = entityTag;
    this.#head = head;
    this.#idleMs = idleMs;
  }

  /** Where the caller reads on, one request brings it all, as fast as the caller takes it. */
  async readInto(
    offset: number,
    target: Uint8Array,
    signal?: AbortSignal,
    readsOnTo?: number,
  ): Promise<void> {
    throwIfAborted(signal);
    const end = offset + target.byteLength;
    checkRange(this, offset, target.byteLength);
    const isReadOn = readsOnTo !== undefined;
    if (isReadOn && offset >= (this.#head?.byteLength ?? 0)) this.#head = undefined;
    if (!isReadOn) await this.#extendHead(offset, end, signal);
    const known = this.#head?.subarray(offset, end) ?? target.subarray(0, 0);
    target.set(known);
    await this.#fill(offset + known.byteLength, target.subarray(known.byteLength), signal, readsOnTo ?? end);
  }

  /** Where the bytes go on from the head, and do not end in it. */
  async #extendHead(offset: number, end: number, signal: AbortSignal | undefined): Promise<void> {
    if (!this.#head) return;
    const held = this.#head.byteLength;
    if (offset > held || end <= held || end > longestHeadBytes) return;
    const head = new Uint8Array(end);
    head.set(this.#head);
    await this.#fill(held, head.subarray(held), signal, this.byteLength);
    this.#head = head;
  }

  async #fill(
    offset: number,
    target: Uint8Array,
    signal: AbortSignal | undefined,
    readsOnTo: number,
  ): Promise<void> {
    // Each failure resumes where it broke off; the retries are counted anew after progress.
    for (let done = 0; done < target.byteLength; ) {
      done += await this.#client.retry(signal, () =>
        this.#readSome(offset + done, target.subarray(done), signal, readsOnTo),
      );
    }
  }

  async #readSome(
    offset: number,
    target: Uint8Array,
    signal: AbortSignal | undefined,
    readsOnTo: number,
  ): Promise<number> {
    const end = Math.min(Math.max(readsOnTo, offset + target.byteLength), this.byteLength);
    const stream = (await this.#takeIdle(offset, signal)) ?? (await this.#openStream(offset, end, signal));
    let keeps = false;
    try {
      const byteCount = await stream.body.readInto(target);
      if (byteCount === 0) throw new TransientFailure('the answer was empty');
      stream.position += byteCount;
      keeps = byteCount === target.byteLength && stream.position < end;
      return byteCount;
    } finally {
      if (keeps && !this.#idle && !this.#closed) this.keep(stream);
      else await stream.body.cancel();
    }
  }

  /** For whoever reads on from there, but not for long: a page has few connections to a server. */
  keep(stream: Stream): void {
    stream.body.follow(undefined);
    this.#idle = stream;
    this.#idleSinceMs = performance.now();
    if (this.#idleTimer === undefined) this.#endIdleAfter(this.#idleMs);
  }

  #endIdleAfter(milliseconds: number): void {
    this.#idleTimer = setTimeout(() => {
      this.#idleTimer = undefined;
      if (!this.#idle) return;
      const leftMs = this.#idleSinceMs + this.#idleMs - performance.now();
      if (leftMs > 0) this.#endIdleAfter(leftMs);
      else void this.#release()?.body.cancel();
    }, milliseconds);
  }

  #release(): Stream | undefined {
    const stream = this.#idle;
    this.#idle = undefined;
    return stream;
  }

  /** The idle stream where it goes on at `offset`, or a little before; any other is ended. */
  async #takeIdle(offset: number, signal: AbortSignal | undefined): Promise<Stream | undefined> {
    const stream = this.#release();
    if (!stream) return undefined;
    const gap = offset - stream.position;
    if (gap >= 0 && gap <= longestGapBytes) {
      stream.body.follow(signal);
      const skipped = await stream.body.readInto(new Uint8Array(gap));
      stream.position += skipped;
      if (skipped === gap) return stream;
    }
    await stream.body.cancel();
    return undefined;
  }

  async #openStream(offset: number, end: number, signal: AbortSignal | undefined): Promise<Stream> {
    const body = await this.#client.get(offset, end - 1, signal);
    try {
      if (body.status !== 206) {
        throw new NearfieldError(
          'io',
          `${this.name}: the server stopped answering byte ranges; try again later`,
        );
      }
      if (body.entityTag !== this.#entityTag) {
        throw new NearfieldError(
          'bad-file',
          `${this.name} changed on the server while it was read; open it again`,
        );
      }
      checkBodyRange(this.name, body, offset, this.byteLength);
      return { body, position: offset };
    } catch (error) {
      await body.cancel();
      throw error;
    }
  }

  async stamp(): Promise<string | undefined> {
    return this.#entityTag === undefined ? undefined : `${this.byteLength} bytes of ${this.#entityTag}`;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#idleTimer);
    await this.#release()?.body.cancel();
  }
}

/** Throws unless the answer begins at `offset` of a file of `byteLength` bytes, as far as the server lets us see. */
function checkBodyRange(name: string, { range }: Body, offset: number, byteLength: number): void {
  if (range === undefined || (range.start === offset && (range.total ?? byteLength) === byteLength)) return;
  throw new NearfieldError(
    'io',
    `${name}: byte ${offset} of ${byteLength} was asked for, byte ${range.start} of ${range.total} came; the server or a proxy answers ranges wrongly`,
  );
}

async function readWhole(name: string, body: Body): Promise<Uint8Array> {
  const announced = body.contentBytes;
  const pieces: Uint8Array[] = [];
  let byteLength = 0;
  const checkSize = (byteCount: number) => {
    if (byteCount <= wholeFileLimitBytes) return;
    throw new NearfieldError(
      'unsupported',
      `${name}: the server does not answer byte ranges and the file is larger than ${wholeFileLimitBytes / 2 ** 20} MiB; ` +
        'download it and give its path, or use a server with range requests',
    );
  };
  checkSize(announced ?? 0);
  for await (const piece of body.pieces()) {
    byteLength += piece.byteLength;
    checkSize(byteLength);
    pieces.push(piece);
  }
  if (announced !== undefined && byteLength < announced)
    throw new TransientFailure('the answer was cut short');
  const bytes = new Uint8Array(byteLength);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.byteLength;
  }
  return bytes;
}
