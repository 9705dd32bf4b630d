/** A checkpoint whose tensors lie in one or more open files; what every container's `open` ends in. */
import { NearfieldError } from '../base/error.ts';
import type { ByteSource, Checkpoint, CheckpointFiles, Metadata, TensorEntry } from '../checkpoint.ts';
import { quote } from './quote.ts';

export interface CheckpointParts {
  readonly container: string;
  readonly metadata: Metadata;
  /** By `TensorEntry.part`. */
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
    const part = this.parts[entry.part];
    const inside =
      Number.isSafeInteger(offset) && offset >= 0 && offset + target.byteLength <= entry.byteLength;
    if (!part || !inside) {
      throw new NearfieldError(
        'bad-argument',
        `${this.name}: ${target.byteLength} bytes at ${offset} are not inside tensor ${quote(entry.name)} of ${entry.byteLength} bytes`,
      );
    }
    const end = last && last.byteOffset + last.byteLength;
    await part.readInto(entry.byteOffset + offset, target, signal, end);
  }

  async close(): Promise<void> {
    await this.#files.close();
  }
}
