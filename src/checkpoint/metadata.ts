/** Metadata of any container: a map with typed look-ups that name the file and the key when they fail. */
import { NearfieldError } from '../base/error.ts';
import type { Metadata, MetadataValue } from '../checkpoint.ts';
import { quote } from './quote.ts';

export class MetadataMap implements Metadata {
  readonly entries: ReadonlyMap<string, MetadataValue>;
  readonly storedTypes: ReadonlyMap<string, string>;
  readonly #fileName: string;

  /** `fileName` is for messages. */
  constructor(
    fileName: string,
    entries: ReadonlyMap<string, MetadataValue>,
    storedTypes: ReadonlyMap<string, string> = new Map(),
  ) {
    this.#fileName = fileName;
    this.entries = entries;
    this.storedTypes = storedTypes;
  }

  has(key: string): boolean {
    return this.entries.has(key);
  }

  string(key: string, fallback?: string): string {
    const value = this.entries.get(key) ?? fallback;
    return typeof value === 'string' ? value : this.#fail(key, 'a string');
  }

  number(key: string, fallback?: number): number {
    const value = this.entries.get(key) ?? fallback;
    return typeof value === 'number' && Number.isFinite(value) ? value : this.#fail(key, 'a finite number');
  }

  boolean(key: string, fallback?: boolean): boolean {
    const value = this.entries.get(key) ?? fallback;
    return typeof value === 'boolean' ? value : this.#fail(key, 'a boolean');
  }

  strings(key: string): readonly string[] {
    const value = this.entries.get(key);
    return isStrings(value) ? value : this.#fail(key, 'an array of strings');
  }

  numbers(key: string): ArrayLike<number> | undefined {
    const value = this.entries.get(key);
    if (value === undefined) return undefined;
    if (value instanceof BigInt64Array || value instanceof BigUint64Array) {
      const numbers = Array.from(value, Number);
      return numbers.every(Number.isSafeInteger)
        ? numbers
        : this.#fail(key, 'an array of integers up to 2^53');
    }
    if (ArrayBuffer.isView(value)) return value;
    return Array.isArray(value) && value.length === 0 ? [] : this.#fail(key, 'an array of numbers');
  }

  #fail(key: string, wanted: string): never {
    const value = this.entries.get(key);
    const found = value === undefined ? 'is missing' : `is ${describe(value)}`;
    throw new NearfieldError(
      'bad-file',
      `${this.#fileName}: metadata ${quote(key)} ${found}, ${wanted} is needed; the file is incomplete or of another kind`,
    );
  }
}

/** Elements are of one type, so the first speaks for all. */
function isStrings(value: MetadataValue | undefined): value is readonly string[] {
  return Array.isArray(value) && (value.length === 0 || typeof value[0] === 'string');
}

function describe(value: MetadataValue): string {
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return `an array of ${value.length}`;
  if (typeof value === 'string') return `the string ${quote(value)}`;
  return `the ${typeof value} ${String(value)}`;
}
