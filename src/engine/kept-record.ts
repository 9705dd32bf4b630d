/** The record of a kept model as bytes: JSON. */

export interface KeptRecord {
  /** As in `KeptModel`. */
  readonly source: string;
  readonly name: string;
  readonly architecture: string;
  readonly keptAtMs: number;
  /** In the order of the checkpoint's parts. */
  readonly files: readonly {
    /** In the store. */
    readonly storedName: string;
    readonly fileName: string;
    readonly byteLength: number;
  }[];
}

export function printKeptRecord(record: KeptRecord): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(record));
}

/** Undefined for bytes that are no record. */
export function parseKeptRecord(bytes: Uint8Array): KeptRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
  return isRecord(value) ? value : undefined;
}

function isRecord(value: unknown): value is KeptRecord {
  if (!hasTexts(value, ['source', 'name', 'architecture']) || !hasNumber(value, 'keptAtMs')) return false;
  const { files } = value as { files?: unknown };
  return Array.isArray(files) && files.length > 0 && files.every(isFile);
}

function isFile(value: unknown): boolean {
  if (!hasTexts(value, ['storedName', 'fileName']) || !hasNumber(value, 'byteLength')) return false;
  return /^[a-z0-9.-]+$/.test((value as { storedName: string }).storedName);
}

function hasTexts(value: unknown, keys: readonly string[]): boolean {
  return isObject(value) && keys.every((key) => typeof value[key] === 'string');
}

function hasNumber(value: unknown, key: string): boolean {
  return isObject(value) && Number.isFinite(value[key]);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
