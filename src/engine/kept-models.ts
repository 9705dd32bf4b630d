/**
 * Models kept in the store, whole, to be loaded again without their source: a record of a few hundred bytes names the files
 * of each. What else lies in the store (packed layers, copies made for streaming) is cache.
 */
import { sha256 } from '../base/digest.ts';
import { NearfieldError, throwIfAborted } from '../base/error.ts';
import {
  type ByteSource,
  type CheckpointFile,
  openCheckpoint,
  storeCheckpoint,
  storedNames,
} from '../checkpoint.ts';
import type { ModelInput } from '../engine.ts';
import { openStore, type Store, type StoredEntry, type StoredFile } from '../store.ts';
import { type KeptRecord, parseKeptRecord, printKeptRecord } from './kept-record.ts';

export interface KeptOptions {
  /** As in `LoadOptions`. */
  readonly cacheFolder?: string;
}

export interface KeepOptions extends KeptOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: KeepProgress) => void;
}

export interface KeepProgress {
  readonly loadedBytes: number;
  readonly totalBytes: number;
}

export interface KeptModel {
  /** Tells it from others; the name its record has in the store. */
  readonly id: string;
  /** File name or URL that it was kept from. */
  readonly source: string;
  /** What the file calls the model; may be empty. */
  readonly name: string;
  readonly architecture: string;
  readonly byteLength: number;
  /** Bytes that are here: less than `byteLength` while it is being kept, and where that was broken off. */
  readonly keptBytes: number;
  /** When it was kept first, since the epoch. */
  readonly keptAtMs: number;
}

export interface StoreUsage {
  readonly modelBytes: number;
  /** What `clearCache` would free. */
  readonly cacheBytes: number;
  /** Bytes that may still be written; undefined where the host does not tell. */
  readonly roomBytes: number | undefined;
}

const recordPrefix = 'model-';

export async function keepLocally(input: ModelInput, options: KeepOptions): Promise<KeptModel> {
  const { signal, headers, onProgress, cacheFolder } = options;
  const store = await openStore({ folder: cacheFolder });
  const checkpoint = await openCheckpoint(input, { signal, headers });
  try {
    const names = await storedNames(checkpoint, signal);
    const { metadata, parts } = checkpoint;
    const record: KeptRecord = {
      source: checkpoint.name,
      name: metadata.has('general.name') ? metadata.string('general.name') : '',
      architecture: metadata.string('general.architecture', ''),
      keptAtMs: Date.now(),
      files: parts.map(({ name, byteLength }, part) => ({
        storedName: names[part] ?? '',
        fileName: lastSegment(name),
        byteLength,
      })),
    };
    const id = `${recordPrefix}${(await idOf(names)).slice(0, 40)}`;
    const known = await readRecord(store, id);
    if (!known) await writeRecord(store, id, record);
    await storeCheckpoint(checkpoint, store, { signal, ...(onProgress ? { onProgress } : {}) });
    return keptModel(id, known ?? record, await store.list());
  } finally {
    await checkpoint.close();
  }
}

export async function listKeptModels({ cacheFolder }: KeptOptions = {}): Promise<readonly KeptModel[]> {
  const store = await openStore({ folder: cacheFolder });
  const entries = await store.list();
  const models = (await allRecords(store, entries)).map(([id, record]) => keptModel(id, record, entries));
  return models.sort((a, b) => b.keptAtMs - a.keptAtMs);
}

export async function openKeptModel(
  { id, source }: Pick<KeptModel, 'id' | 'source'>,
  { cacheFolder }: KeptOptions = {},
): Promise<ModelInput> {
  const store = await openStore({ folder: cacheFolder });
  const record = await readRecord(store, id);
  const recorded = record?.files ?? [];
  const files = await Promise.all(recorded.map((file) => openFile(store, file, recorded.length === 1)));
  const found = files.filter((file) => file !== undefined);
  if (found.length === 0 || found.length < files.length) {
    throw new NearfieldError('not-found', `${source} is not kept whole in ${store.name}; keep it again`);
  }
  return found.length === 1 ? (found[0] ?? found) : found;
}

/** But for files that another kept model shares. */
export async function deleteKeptModel(
  { id }: Pick<KeptModel, 'id'>,
  { cacheFolder }: KeptOptions = {},
): Promise<void> {
  const store = await openStore({ folder: cacheFolder });
  const records = await allRecords(store, await store.list());
  const own = records.find(([each]) => each === id)?.[1].files ?? [];
  const others = new Set(
    records.filter(([each]) => each !== id).flatMap(([, { files }]) => files.map((file) => file.storedName)),
  );
  for (const { storedName } of own) if (!others.has(storedName)) await store.remove(storedName);
  await store.remove(id);
}

export async function storeUsage({ cacheFolder }: KeptOptions = {}): Promise<StoreUsage> {
  const store = await openStore({ folder: cacheFolder });
  const { kept, cached } = await sortEntries(store);
  const sum = (entries: readonly StoredEntry[]): number =>
    entries.reduce((bytes, { byteLength }) => bytes + byteLength, 0);
  return { modelBytes: sum(kept), cacheBytes: sum(cached), roomBytes: await store.roomBytes() };
}

export async function clearCache({ cacheFolder }: KeptOptions = {}): Promise<void> {
  const store = await openStore({ folder: cacheFolder });
  const { cached } = await sortEntries(store);
  for (const { name } of cached) await store.remove(name);
}

async function sortEntries(store: Store): Promise<{ kept: StoredEntry[]; cached: StoredEntry[] }> {
  const entries = await store.list();
  const names = new Set<string>();
  for (const [id, { files }] of await allRecords(store, entries)) {
    names.add(id);
    for (const { storedName } of files) names.add(storedName);
  }
  const isKept = ({ name }: StoredEntry): boolean => names.has(name);
  return { kept: entries.filter(isKept), cached: entries.filter((entry) => !isKept(entry)) };
}

async function allRecords(store: Store, entries: readonly StoredEntry[]): Promise<[string, KeptRecord][]> {
  const records: [string, KeptRecord][] = [];
  for (const { name, isWhole } of entries) {
    if (!isWhole || !name.startsWith(recordPrefix)) continue;
    const record = await readRecord(store, name);
    if (record) records.push([name, record]);
  }
  return records;
}

/** Undefined where there is none, or none that can be read. */
async function readRecord(store: Store, id: string): Promise<KeptRecord | undefined> {
  const file = await store.open(id);
  if (!file) return undefined;
  try {
    const bytes = new Uint8Array(file.byteLength);
    await file.readInto(0, bytes);
    return parseKeptRecord(bytes);
  } finally {
    await file.close();
  }
}

async function writeRecord(store: Store, id: string, record: KeptRecord): Promise<void> {
  // What is left of an attempt, or of one that cannot be read, may be longer.
  await store.remove(id);
  const draft = await store.begin(id);
  try {
    await draft.write(0, printKeptRecord(record));
    await (await draft.finish()).close();
  } finally {
    await draft.end({ keep: false });
  }
}

/** Of several files the names tell which is which: a Blob gets its own, and in the place of a path comes a source of that name. */
async function openFile(
  store: Store,
  file: KeptRecord['files'][number],
  isOnly: boolean,
): Promise<CheckpointFile | undefined> {
  const place = await store.locate(file.storedName);
  if (typeof place === 'string') return isOnly ? place : sourceOf(store, file);
  if (place?.size !== file.byteLength) return undefined;
  // The store's name for it follows from what it holds; its times do not.
  return new File([place], file.fileName, { lastModified: 0 });
}

/** Opened when it is read first, and again when it is read after it was closed: it may be looked at before it is loaded. */
function sourceOf(
  store: Store,
  { storedName, fileName, byteLength }: KeptRecord['files'][number],
): ByteSource {
  let opening: Promise<StoredFile | undefined> | undefined;
  return {
    name: fileName,
    byteLength,
    async readInto(offset, target, signal) {
      throwIfAborted(signal);
      opening ??= store.open(storedName);
      const file = await opening;
      if (file?.byteLength !== byteLength) {
        throw new NearfieldError(
          'not-found',
          `${fileName} is no longer kept whole in ${store.name}; keep it again`,
        );
      }
      await file.readInto(offset, target);
    },
    // Its bytes follow from the name it has in the store.
    stamp: async () => storedName,
    async close() {
      const file = opening;
      opening = undefined;
      await (await file)?.close();
    },
  };
}

function keptModel(id: string, record: KeptRecord, entries: readonly StoredEntry[]): KeptModel {
  const { source, name, architecture, keptAtMs, files } = record;
  const bytesOf = new Map(entries.map((entry) => [entry.name, entry.byteLength]));
  const keptBytes = files.reduce((sum, { storedName }) => sum + (bytesOf.get(storedName) ?? 0), 0);
  const byteLength = files.reduce((sum, file) => sum + file.byteLength, 0);
  return { id, source, name, architecture, byteLength, keptBytes, keptAtMs };
}

async function idOf(names: readonly string[]): Promise<string> {
  return sha256(new TextEncoder().encode(names.join('\n')), 'Models are kept');
}

function lastSegment(name: string): string {
  return name.split(/[/\\]/).at(-1) || name;
}
