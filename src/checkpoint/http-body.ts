/** The answer to an HTTP request: what its head says, and its bytes, which must not stop coming. */
import { NearfieldError } from '../base/error.ts';
import { ByteStream } from './byte-stream.ts';

/** Taken at a time of an answer that is kept as a whole. */
const wholePieceBytes = 64 * 1024;

/** Worth another try: the network, or a server that is busy. */
export class TransientFailure extends Error {}

/** An answer whose bytes have not been read yet. */
export class Body {
  readonly status: number;
  /** Content-Range, where present and visible; `total` is undefined where the server does not know it. */
  readonly range: { readonly start: number; readonly total: number | undefined } | undefined;
  /** Content-Length, unless a content coding makes it another size than the file's. */
  readonly contentBytes: number | undefined;
  readonly entityTag: string | undefined;
  readonly #response: Response;
  readonly #silence: SilenceLimit;
  #stream: ByteStream | undefined;

  constructor(response: Response, silence: SilenceLimit) {
    const { headers } = response;
    this.status = response.status;
    this.range = parseContentRange(headers.get('content-range'));
    const coded = (headers.get('content-encoding') ?? 'identity') !== 'identity';
    this.contentBytes = coded ? undefined : parseSize(headers.get('content-length'));
    this.entityTag = headers.get('etag') ?? undefined;
    this.#response = response;
    this.#silence = silence;
    silence.pause();
  }

  /** From now on another signal, or none, ends the request. */
  follow(signal: AbortSignal | undefined): void {
    this.#silence.follow(signal);
  }

  /** Fills `target` with the bytes that come next, as far as the answer goes; how many it got. */
  async readInto(target: Uint8Array): Promise<number> {
    let done = 0;
    this.#silence.restart();
    try {
      while (done < target.byteLength) {
        const byteCount = await this.#take(target.subarray(done));
        if (byteCount === 0) break;
        done += byteCount;
      }
    } catch (error) {
      // What arrived before the line broke is good; the caller asks for the rest.
      if (done === 0 || !(error instanceof TransientFailure)) throw error;
    } finally {
      this.#silence.pause();
    }
    return done;
  }

  async *pieces(): AsyncGenerator<Uint8Array> {
    const piece = new Uint8Array(wholePieceBytes);
    this.#silence.restart();
    for (let byteCount = await this.#take(piece); byteCount > 0; byteCount = await this.#take(piece)) {
      yield piece.slice(0, byteCount);
    }
    this.#silence.pause();
  }

  async #take(target: Uint8Array): Promise<number> {
    this.#stream ??= new ByteStream(this.#response.body);
    try {
      const byteCount = await this.#stream.take(target);
      this.#silence.broken();
      return byteCount;
    } catch (error) {
      throw this.#silence.explain(error);
    }
  }

  /** Lets go of the connection; harmless when repeated. */
  async cancel(): Promise<void> {
    this.#silence.end();
    await (this.#stream ?? this.#response.body)?.cancel().catch(() => {});
  }
}

/** Aborts a request on the caller's signal or when nothing has arrived for a while. */
export class SilenceLimit {
  readonly #controller = new AbortController();
  readonly #limitMs: number;
  #caller: AbortSignal | undefined;
  readonly #onAbort = () => this.#controller.abort();
  /** Set anew only when it has run out: pieces are many, and so are reads. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isWaiting = false;
  #lastMs = 0;

  constructor(limitMs: number, caller: AbortSignal | undefined) {
    this.#limitMs = limitMs;
    this.follow(caller);
    this.restart();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  follow(caller: AbortSignal | undefined): void {
    this.#caller?.removeEventListener('abort', this.#onAbort);
    this.#caller = caller;
    caller?.addEventListener('abort', this.#onAbort);
  }

  /** Something is waited for from now on. */
  restart(): void {
    this.broken();
    this.#isWaiting = true;
    if (this.#timer === undefined) this.#wait(this.#limitMs);
  }

  /** Something arrived. */
  broken(): void {
    this.#lastMs = performance.now();
  }

  /** Nothing is waited for: the reader takes its time. */
  pause(): void {
    this.#isWaiting = false;
  }

  end(): void {
    this.pause();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.follow(undefined);
  }

  #wait(milliseconds: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (!this.#isWaiting) return;
      const leftMs = this.#lastMs + this.#limitMs - performance.now();
      if (leftMs > 0) this.#wait(leftMs);
      else this.#onAbort();
    }, milliseconds);
  }

  /** The caller's abort as such; all else that `fetch` throws is the network's failure. */
  explain(error: unknown): Error {
    if (error instanceof NearfieldError) return error;
    if (this.#caller?.aborted) {
      return new NearfieldError('aborted', 'Aborted by the caller', { cause: this.#caller.reason });
    }
    if (this.signal.aborted) return new TransientFailure(`nothing arrived for ${this.#limitMs / 1000} s`);
    return new TransientFailure(`the connection failed (${reasonOf(error)})`, { cause: error });
  }
}

/** `fetch` hides the system's reason one level down. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  if (cause instanceof Error && 'code' in cause) return String(cause.code);
  return error.message;
}

// `bytes 0-99/1000`, `bytes 0-99/*`, or of a range outside the file `bytes */1000`.
function parseContentRange(text: string | null): Body['range'] {
  const match = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/.exec(text ?? '');
  if (!match) return undefined;
  return { start: Number(match[1] ?? 0), total: parseSize(match[2] ?? null) };
}

function parseSize(text: string | null): number | undefined {
  const size = text !== null && /^\d+$/.test(text) ? Number(text) : undefined;
  return size !== undefined && Number.isSafeInteger(size) ? size : undefined;
}
