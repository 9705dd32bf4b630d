/** HTTP requests of one file: ranges, retries with growing pauses, and failures in one line. */
import { NearfieldError, throwIfAborted } from '../base/error.ts';
import { Body, SilenceLimit, TransientFailure } from './http-body.ts';

export interface HttpOptions {
  /** Stands in for the host's own `fetch`. */
  readonly fetch?: typeof globalThis.fetch | undefined;
  /** Sent with every request: authorization, for example. */
  readonly headers?: HeadersInit | undefined;
  /** Pauses before each retry. */
  readonly retryDelaysMs?: readonly number[] | undefined;
  /** Silence after which a request counts as failed. */
  readonly silenceMs?: number | undefined;
  /** The first request asks for all of the file, to be read on from; else for its head. */
  readonly readsOn?: boolean | undefined;
  /** How long an answer waits for somebody who reads on, before its connection is given up. */
  readonly idleMs?: number | undefined;
}

export class HttpClient {
  /** The address without what may be secret in it: credentials and query. */
  readonly name: string;
  readonly #url: URL;
  readonly #options: HttpOptions;
  readonly #headers: Headers;

  constructor(url: URL, options: HttpOptions) {
    this.name = `${url.origin}${url.pathname}`;
    this.#url = url;
    this.#options = options;
    if (url.username !== '' || url.password !== '') {
      throw new NearfieldError(
        'bad-argument',
        `${this.name}: pass the password in \`headers\`, not in the address`,
      );
    }
    try {
      this.#headers = new Headers(options.headers);
    } catch (cause) {
      throw new NearfieldError('bad-argument', `${this.name}: \`headers\` are not valid HTTP headers`, {
        cause,
      });
    }
  }

  /** Runs `work` until it gives a value or fails for good. */
  async retry<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    const delaysMs = this.#options.retryDelaysMs ?? [250, 1000, 4000];
    for (let attempt = 0; ; attempt++) {
      throwIfAborted(signal);
      try {
        return await work();
      } catch (error) {
        throwIfAborted(signal);
        if (!(error instanceof TransientFailure)) throw error;
        const delayMs = delaysMs[attempt];
        if (delayMs === undefined) {
          const message = `${this.name}: ${error.message}, ${attempt + 1} times in a row; check the network and try again`;
          throw new NearfieldError('io', message, { cause: error });
        }
        await pause(delayMs, signal);
      }
    }
  }

  /**
   * Asks for the bytes from `first` to `last`, both included, or to the file's end. The status is 200, 206 or 416 (an
   * empty file).
   */
  async get(first: number, last: number | undefined, signal: AbortSignal | undefined): Promise<Body> {
    const response = await this.#request('GET', `bytes=${first}-${last ?? ''}`, signal);
    const { status } = response;
    const empty = status === 416 && response.range?.total === 0;
    if (status === 200 || empty || status === 206) return response;
    await response.cancel();
    throw this.#failure(status);
  }

  /** The file's size as a HEAD request tells it; undefined where it does not. */
  async size(signal: AbortSignal | undefined): Promise<number | undefined> {
    const response = await this.#request('HEAD', undefined, signal);
    await response.cancel();
    return response.status === 200 ? response.contentBytes : undefined;
  }

  async #request(method: string, range: string | undefined, signal: AbortSignal | undefined): Promise<Body> {
    const headers = new Headers(this.#headers);
    if (range !== undefined) headers.set('Range', range);
    const silence = new SilenceLimit(this.#options.silenceMs ?? 30_000, signal);
    const { fetch = globalThis.fetch } = this.#options;
    try {
      // The browser's cache would answer only one range of an address at a time.
      return new Body(
        await fetch(this.#url, { method, headers, signal: silence.signal, cache: 'no-store' }),
        silence,
      );
    } catch (error) {
      silence.end();
      throw silence.explain(error);
    }
  }

  #failure(status: number): Error {
    if (status === 404 || status === 410) {
      return new NearfieldError('not-found', `No file at ${this.name} (HTTP ${status}); check the address`);
    }
    if (status === 401 || status === 403) {
      return new NearfieldError(
        'io',
        `${this.name} is not open to you (HTTP ${status}); pass a token in \`headers\``,
      );
    }
    if (status === 408 || status === 425 || status === 429 || status >= 500) {
      return new TransientFailure(`the server answered HTTP ${status}`);
    }
    return new NearfieldError('io', `${this.name}: the server answered HTTP ${status} to a byte range`);
  }
}

async function pause(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(done, delayMs);
    function done() {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    }
    signal?.addEventListener('abort', done);
  });
}
