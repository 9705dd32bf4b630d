/**
 * Checkpoints: a model file as metadata, a tensor directory and ranged reads. A file is untrusted input; every count,
 * offset and length is checked against the size of the source before it is used.
 */
import type { NumberFormat } from './format.ts';

export { type ByteSink, fileSink, type MemorySink, memorySink } from './checkpoint/byte-sink.ts';
export type { GgufMetadata, GgufValue } from './checkpoint/gguf-encode.ts';
export type { GgufType } from './checkpoint/gguf-type.ts';
export { copyOfMetadata, type GgufTensor, writeGguf } from './checkpoint/gguf-write.ts';
export { containerNames, openCheckpoint } from './checkpoint/open.ts';
export { identifyCheckpoint, onParts, steadyCheckpoint } from './checkpoint/same-file.ts';
export {
  type CheckpointFile,
  type CheckpointInput,
  type OpenCheckpointOptions,
  openSource,
} from './checkpoint/source.ts';
export { spoolCheckpoint, storeCheckpoint, storedNames } from './checkpoint/spool.ts';

/** Random access to bytes that may be remote. Implementations: local file, Blob, HTTP range, memory. */
export interface ByteSource {
  /** For messages: a path, URL or file name. */
  readonly name: string;
  readonly byteLength: number;
  /**
   * Fills all of `target` from `offset`; rejects with code `io` or `bad-file` when the bytes are not there. `target` may
   * view a SharedArrayBuffer. A caller that will read on from here in order says with `readsOnTo` where it will
   * end: a remote source may ask for all of that at once.
   */
  readInto(offset: number, target: Uint8Array, signal?: AbortSignal, readsOnTo?: number): Promise<void>;
  /**
   * Tells this state of the bytes from another, as far as the source knows: a time of change, an entity tag. Another
   * answer than before means that the bytes may have changed since. Undefined where it cannot tell.
   */
  stamp?(): Promise<string | undefined>;
  /** Every read goes over a network: who reads again and again makes a copy. */
  readonly isRemote?: boolean;
  close(): Promise<void>;
}

/** 64-bit integers beyond 2^53 stay bigint; every other number is a number. Arrays of numbers are typed arrays where the element type has one. */
export type MetadataValue =
  | number
  | bigint
  | boolean
  | string
  | readonly string[]
  | readonly boolean[]
  | readonly MetadataValue[]
  | MetadataTypedArray;

export type MetadataTypedArray =
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array;

/** Typed look-ups; each throws `bad-file` naming the key when the value is missing (and no fallback is given) or of another kind. */
export interface Metadata {
  readonly entries: ReadonlyMap<string, MetadataValue>;
  /** The container's own name for the type of each value, where it has one (`uint32`, `array of bool`), so that a copy can keep it. */
  readonly storedTypes?: ReadonlyMap<string, string>;
  has(key: string): boolean;
  string(key: string, fallback?: string): string;
  /** A finite number (integers up to 2^53). */
  number(key: string, fallback?: number): number;
  boolean(key: string, fallback?: boolean): boolean;
  strings(key: string): readonly string[];
  /** Any numeric array, as numbers, or undefined where the key is absent. */
  numbers(key: string): ArrayLike<number> | undefined;
}

export interface TensorEntry {
  readonly name: string;
  readonly format: NumberFormat;
  /** Outermost first (row-major): a matrix is [rows N, columns K]; the last is the one blocks run along. */
  readonly shape: readonly number[];
  readonly byteLength: number;
  /** Which file of a split checkpoint holds it, and where. */
  readonly part: number;
  readonly byteOffset: number;
  /** Where it does not lie there as it is: how its bytes are made of what lies in the files. `byteOffset` then is where that begins. */
  readonly content?: TensorContent;
}

/** Bytes made of others when they are read, a range at a time. */
export interface TensorContent {
  readonly byteLength: number;
  read(reading: Reading, offset: number, target: Uint8Array): Promise<void>;
}

/** What a read reads from. */
export interface Reading {
  /** The checkpoint's files, or copies of them. */
  readonly parts: readonly ByteSource[];
  readonly signal: AbortSignal | undefined;
  /** Where in the file the caller will stop who reads on in order (`ByteSource.readInto`). */
  readonly readsOnTo: number | undefined;
}

export interface Checkpoint {
  /** For messages. */
  readonly name: string;
  /** Container: 'gguf', 'safetensors'. */
  readonly container: string;
  readonly metadata: Metadata;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** Its files: first those of tensors, by `TensorEntry.part`. */
  readonly parts: readonly ByteSource[];
  /** Sum over all parts. */
  readonly byteLength: number;
  /**
   * Reads `target.byteLength` bytes of a tensor from `offset` within it. A caller that will read on from here in order gives
   * as `last` the tensor of the same part at whose end it will stop.
   */
  read(
    entry: TensorEntry,
    offset: number,
    target: Uint8Array,
    signal?: AbortSignal,
    last?: TensorEntry,
  ): Promise<void>;
  close(): Promise<void>;
}

/** The files a checkpoint is made of: those the caller gave and, where these have neighbours, those beside the first. */
export interface CheckpointFiles {
  /** In the caller's order; at least one. */
  readonly given: readonly ByteSource[];
  /** File name of the first, without folder; undefined for sources without neighbours (Blobs, memory). */
  readonly fileName: string | undefined;
  /** Opens the file of that name beside the first; `not-found` where there is none. */
  sibling(fileName: string, signal?: AbortSignal): Promise<ByteSource>;
  /** Closes everything opened through here. */
  close(): Promise<void>;
}

/** A member of the table of containers. */
export interface Container {
  readonly name: string;
  /** Where its models are folders: the files one may begin with, those to be tried first in front. */
  readonly folderFiles?: readonly string[];
  /** Whether a file that begins with `head` (its first bytes, at most 64) is of this container. */
  recognises(head: Uint8Array, byteLength: number): boolean;
  /** The checkpoint's `close` closes `files`; when opening fails the caller does. */
  open(files: CheckpointFiles, signal?: AbortSignal): Promise<Checkpoint>;
}
