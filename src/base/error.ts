/** The one error type that leaves this package. `code` is stable and meant for programs, `message` is one line for people. */

export type ErrorCode =
  | 'bad-argument' // the caller's value is wrong: option, token id, step
  | 'bad-file' // the bytes are not what they claim to be
  | 'unsupported' // valid, but no member of a table handles it
  | 'out-of-budget' // would exceed a memory budget or the host refused memory
  | 'not-found' // a path, tensor or key that does not exist
  | 'io' // reading or writing failed
  | 'aborted' // the caller's AbortSignal fired
  | 'context-full' // more rows than the context holds
  | 'backend' // a device failed or was lost
  | 'internal'; // a broken promise between rooms: a bug

export class NearfieldError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'NearfieldError';
    this.code = code;
  }
}

/** Throws the signal's abort as a NearfieldError of code `aborted`. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new NearfieldError('aborted', 'Aborted by the caller', { cause: signal.reason });
}

/** Narrows away undefined where an index or lookup is known to be in range; a failure is a bug, not bad input. */
export function known<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new NearfieldError('internal', `Missing ${what}`);
  return value;
}
