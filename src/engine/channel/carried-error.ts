/** Errors across the channel: a structured clone keeps neither their class nor their code. */
import { type ErrorCode, NearfieldError } from '../../base/error.ts';

export interface CarriedError {
  readonly code: ErrorCode;
  readonly message: string;
  /** Of a bug: where in the worker it was thrown. */
  readonly stack?: string | undefined;
}

/** Whatever is not a NearfieldError is a bug, and says so by its code. */
export function carryError(error: unknown): CarriedError {
  if (error instanceof NearfieldError) return { code: error.code, message: error.message };
  return {
    code: 'internal',
    message: String(error),
    stack: error instanceof Error ? error.stack : undefined,
  };
}

export function rebuildError({ code, message, stack }: CarriedError): NearfieldError {
  return new NearfieldError(code, message, stack === undefined ? {} : { cause: stack });
}
