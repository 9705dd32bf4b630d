/** Copies of remote files in the store: fetched once, gone on with where it broke off, read from there ever after. */
import { sha256 } from '../base/digest.ts';
import { NearfieldError, throwIfAborted } from '../base/error.ts';
import { printBytes } from '../base/print-bytes.ts';
import type { ByteSource, Checkpoint } from '../checkpoint.ts';
import type { Store, StoredFile } from '../store.ts';
import { checkRange } from './byte-range.ts';
import { onParts } from './same-file.ts';

/** Of one write, and of one report. */
const pieceBytes = 1 << 20;
/** Of a server that tells no entity tag: read at the beginning, in the middle and at the end, to know the file again. */
const sampleBytes = 1 << 16;

export interface SpoolOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (progress: { readonly loadedBytes: number; readonly totalBytes: number }) => void;
}

/**
 * The checkpoint over local files: itself where it has none but those, else another, whose `close` leaves the first open.
 * Throws `io` where the store has no room; what was fetched stays for the next attempt.
 */
export async function spoolCheckpoint(
  checkpoint: Checkpoint,
  store: Store,
  options: SpoolOptions = {},
): Promise<Checkpoint> {
  if (checkpoint.parts.every((part) => !part.isRemote)) return checkpoint;
  return copyParts(checkpoint, store, (part) => part.isRemote === true, options);
}

/**
 * Copies all files of the checkpoint to the store, local ones too, under the names that `storedNames` gives, where
 * `spoolCheckpoint` finds them as well. Throws as that does.
 */
export async function storeCheckpoint(
  checkpoint: Checkpoint,
  store: Store,
  options: SpoolOptions = {},
): Promise<void> {
  const copy = await copyParts(checkpoint, store, () => true, options);
  await copy.close();
}

/** Names that copies of the checkpoint's files have in a store, in the order of its parts, whether they are there or not. */
export function storedNames(checkpoint: Checkpoint, signal?: AbortSignal): Promise<string[]> {
  return Promise.all(checkpoint.parts.map((part) => storedName(part, signal)));
}

async function copyParts(
  checkpoint: Checkpoint,
  store: Store,
  isCopied: (part: ByteSource) => boolean,
  { signal, onProgress }: SpoolOptions,
): Promise<Checkpoint> {
  const totalBytes = checkpoint.byteLength;
  const parts: ByteSource[] = [];
  const copies: ByteSource[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(copies.map((copy) => copy.close()));
  };
  let before = 0;
  try {
    for (const part of checkpoint.parts) {
      const report = (bytes: number): void => onProgress?.({ loadedBytes: before + bytes, totalBytes });
      const local = isCopied(part) ? await copyOf(part, store, signal, report) : part;
      if (local !== part) copies.push(local);
      parts.push(local);
      before += part.byteLength;
      report(0);
    }
  } catch (error) {
    await close();
    throw error;
  }
  return onParts(checkpoint, parts, close);
}

async function copyOf(
  source: ByteSource,
  store: Store,
  signal: AbortSignal | undefined,
  report: (bytes: number) => void,
): Promise<ByteSource> {
  const name = await storedName(source, signal);
  const before = await openWhole(source, store, name);
  if (before) return before;
  const draft = await store.begin(name, signal);
  try {
    const meanwhile = await openWhole(source, store, name);
    if (meanwhile) {
      await draft.end({ keep: false });
      return meanwhile;
    }
    // The last piece may have been cut short.
    const from = Math.floor(Math.min(draft.byteLength, source.byteLength) / pieceBytes) * pieceBytes;
    await expectRoom(source, store, source.byteLength - draft.byteLength);
    const piece = new Uint8Array(Math.min(pieceBytes, source.byteLength));
    for (let offset = from; offset < source.byteLength; offset += pieceBytes) {
      throwIfAborted(signal);
      const bytes = piece.subarray(0, Math.min(pieceBytes, source.byteLength - offset));
      await source.readInto(offset, bytes, signal, source.byteLength);
      await draft.write(offset, bytes);
      report(offset + bytes.byteLength);
    }
    return sourceOver(source.name, await draft.finish());
  } catch (error) {
    await draft.end({ keep: true });
    throw error;
  }
}

async function storedName(source: ByteSource, signal: AbortSignal | undefined): Promise<string> {
  const stamp = await source.stamp?.();
  const text = new TextEncoder().encode(`${source.name}\n${source.byteLength}\n${stamp ?? ''}`);
  const samples = stamp === undefined ? 3 : 0;
  const length = Math.min(sampleBytes, source.byteLength);
  const bytes = new Uint8Array(text.length + samples * length);
  bytes.set(text);
  for (let sample = 0; sample < samples; sample++) {
    const offset = Math.floor(((source.byteLength - length) * sample) / 2);
    const start = text.length + sample * length;
    await source.readInto(offset, bytes.subarray(start, start + length), signal);
  }
  return `file-${(await sha256(bytes, 'Copies of files are kept')).slice(0, 40)}`;
}

async function openWhole(source: ByteSource, store: Store, name: string): Promise<ByteSource | undefined> {
  const file = await store.open(name);
  if (file?.byteLength === source.byteLength) return sourceOver(source.name, file);
  await file?.close();
  return undefined;
}

async function expectRoom(source: ByteSource, store: Store, wantedBytes: number): Promise<void> {
  const room = await store.roomBytes();
  if (room === undefined || room >= wantedBytes) return;
  throw new NearfieldError(
    'io',
    `A copy of ${source.name} needs ${printBytes(wantedBytes)} more in ${store.name}, which has ${printBytes(room)} left; ` +
      'free some space or name another folder',
  );
}

/** The name stays that of the original, for messages. */
function sourceOver(name: string, file: StoredFile): ByteSource {
  const { byteLength } = file;
  return {
    name,
    byteLength,
    async readInto(offset, target, signal) {
      throwIfAborted(signal);
      checkRange({ name, byteLength }, offset, target.byteLength);
      await file.readInto(offset, target);
      throwIfAborted(signal);
    },
    // Its bytes follow from the name it has in the store.
    stamp: async () => file.name,
    close: () => file.close(),
  };
}
