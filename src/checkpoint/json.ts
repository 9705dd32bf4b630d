/** JSON that comes from a file: parsed, and looked into without trust. */
import { NearfieldError } from '../base/error.ts';

/** An object of JSON, whose fields may be anything. */
export type JsonRecord = { readonly [name: string]: unknown };

const decoder = new TextDecoder('utf-8', { fatal: true });

/** Throws `bad-file`; `what` names the text in the message. */
export function parseJson(what: string, bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(bytes)) as unknown;
  } catch (cause) {
    throw new NearfieldError('bad-file', `${what} is not valid JSON; the file is corrupt, get it again`, {
      cause,
    });
  }
}

export function isRecord(value: unknown): value is JsonRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isStrings(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
