/** A checkpoint whose tensors lie in one or more open files; what every container's `open` ends in. */
import type { ByteSource, Checkpoint, CheckpointFiles, Metadata, TensorEntry } from '../checkpoint.ts';
import { readTensor } from './read-tensor.ts';

export interface CheckpointParts {
  readonly container: string;
  readonly metadata: Metadata;
  /** First those of tensors, by `TensorEntry.part`. */
  readonly parts: readonly ByteSource[];
  /** Names are distinct and extents lie inside their part. */
  readonly tensors: readonly TensorEntry[];
  readonly files: CheckpointFiles;
}

export class PartsCheckpoint implements Checkpoint {
  readonly name: string;
  readonly container: string;
  readonly metadata: Metadata;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly byteLength: number;
  readonly parts: readonly ByteSource[];
  readonly #files: CheckpointFiles;

  constructor({ container, metadata, parts, tensors, files }: CheckpointParts) {
    this.name = parts[0]?.name ?? container;
    this.container = container;
    this.metadata = metadata;
    this.tensors = new Map(tensors.map((entry) => [entry.name, entry]));
    this.byteLength = parts.reduce((sum, part) => sum + part.byteLength, 0);
    this.parts = parts;
    this.#files = files;
  }

  async read(
    entry: TensorEntry,
    offset: number,
    target: Uint8Array,
    signal?: AbortSignal,
    last?: TensorEntry,
  ): Promise<void> {
    await readTensor(this.name, this.parts, entry, offset, target, signal, last);
  }

  async close(): Promise<void> {
    await this.#files.close();
  }
}
