/** The answer to an HTTP request: what its head says, and its bytes, which must not stop coming. */
import { NearfieldError } from '../base/error.ts';

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

  constructor(response: Response, silence: SilenceLimit) {
    const { headers } = response;
    this.status = response.status;
    this.range = parseContentRange(headers.get('content-range'));
    const coded = (headers.get('content-encoding') ?? 'identity') !== 'identity';
    this.contentBytes = coded ? undefined : parseSize(headers.get('content-length'));
    this.entityTag = headers.get('etag') ?? undefined;
    this.#response = response;
    this.#silence = silence;
  }

  /** Fills `target` as far as the answer goes, at most to its end; the bytes it got. */
  async readInto(target: Uint8Array): Promise<number> {
    let done = 0;
    try {
      for await (const piece of this.pieces()) {
        const part = piece.subarray(0, target.byteLength - done);
        target.set(part, done);
        done += part.byteLength;
        if (done === target.byteLength) break;
      }
    } catch (error) {
      // What arrived before the line broke is good; the caller asks for the rest.
      if (done === 0 || !(error instanceof TransientFailure)) throw error;
    }
    return done;
  }

  async *pieces(): AsyncGenerator<Uint8Array> {
    const reader = this.#response.body?.getReader();
    try {
      while (reader) {
        this.#silence.restart();
        const { done, value } = await reader.read();
        if (done) break;
        yield value;
      }
    } catch (error) {
      throw this.#silence.explain(error);
    } finally {
      this.#silence.end();
      await reader?.cancel().catch(() => {});
    }
  }

  async cancel(): Promise<void> {
    this.#silence.end();
    await this.#response.body?.cancel().catch(() => {});
  }
}

/** Aborts a request on the caller's signal or when nothing has arrived for a while. */
export class SilenceLimit {
  readonly #controller = new AbortController();
  readonly #limitMs: number;
  readonly #caller: AbortSignal | undefined;
  readonly #onAbort = () => this.#controller.abort();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(limitMs: number, caller: AbortSignal | undefined) {
    this.#limitMs = limitMs;
    this.#caller = caller;
    caller?.addEventListener('abort', this.#onAbort);
    this.restart();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  restart(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#onAbort, this.#limitMs);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#caller?.removeEventListener('abort', this.#onAbort);
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
