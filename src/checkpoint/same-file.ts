/** Whether a model's files are still, or again, those that something was made of. */
import { checksum } from '../base/checksum.ts';
import { sha256 } from '../base/digest.ts';
import { NearfieldError } from '../base/error.ts';
import type { ByteSource, Checkpoint, TensorEntry } from '../checkpoint.ts';
import { readTensor } from './read-tensor.ts';

const pieceBytes = 4 << 20;
/** Read at the beginning and the end of every tensor. */
const sampleBytes = 1024;

/**
 * A name in hexadecimal that differs for another model, for the same model in another state of its files, and for another
 * `context`. Files that tell no time of change are read from end to end.
 */
export async function identifyCheckpoint(
  checkpoint: Checkpoint,
  context: string,
  signal?: AbortSignal,
): Promise<string> {
  const entries = [...checkpoint.tensors.values()];
  const lines = [context];
  for (const part of checkpoint.parts) lines.push((await part.stamp?.()) ?? (await sumOf(part, signal)));
  for (const { name, format, shape } of entries) lines.push(`${name} ${format.name} ${shape.join('x')}`);
  const text = new TextEncoder().encode(lines.join('\n'));
  const bytes = new Uint8Array(text.length + entries.length * 2 * sampleBytes);
  bytes.set(text);
  let at = text.length;
  for (const entry of entries) {
    const length = Math.min(sampleBytes, entry.byteLength);
    for (const offset of [0, entry.byteLength - length]) {
      await checkpoint.read(entry, offset, bytes.subarray(at, at + length), signal);
      at += sampleBytes;
    }
  }
  return sha256(bytes, 'Packed weights are kept');
}

async function sumOf(source: ByteSource, signal: AbortSignal | undefined): Promise<string> {
  const piece = new Uint8Array(Math.min(pieceBytes, source.byteLength));
  const sums = new Uint32Array(2);
  const all: number[] = [];
  for (let offset = 0; offset < source.byteLength; offset += pieceBytes) {
    const bytes = piece.subarray(0, Math.min(pieceBytes, source.byteLength - offset));
    await source.readInto(offset, bytes, signal, source.byteLength);
    checksum(bytes, sums, 0);
    all.push(...sums);
  }
  return `${source.byteLength} bytes: ${all.join(' ')}`;
}

/** The same checkpoint over other sources of the same files. */
export function onParts(
  { name, container, metadata, tensors, byteLength }: Checkpoint,
  parts: readonly ByteSource[],
  close: () => Promise<void>,
): Checkpoint {
  return {
    ...{ name, container, metadata, tensors, byteLength, parts, close },
    read: (entry, offset, target, signal, last) =>
      readTensor(name, parts, entry, offset, target, signal, last),
  };
}

/** The same checkpoint, whose reads reject with `bad-file` when a file has changed since this was called. */
export async function steadyCheckpoint(checkpoint: Checkpoint): Promise<Checkpoint> {
  const stamps = await Promise.all(checkpoint.parts.map((part) => part.stamp?.()));
  const { name, container, metadata, tensors, parts, byteLength } = checkpoint;
  return {
    ...{ name, container, metadata, tensors, parts, byteLength },
    async read(entry: TensorEntry, ...rest) {
      await checkpoint.read(entry, ...rest);
      const part = parts[entry.part];
      if (part && (await part.stamp?.()) !== stamps[entry.part]) {
        throw new NearfieldError(
          'bad-file',
          `${part.name} was changed while the model is in use; load it again`,
        );
      }
    },
    close: () => checkpoint.close(),
  };
}
